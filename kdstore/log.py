"""Structured logs of api and worker: one line an event, holding only allowed fields."""

import contextlib
import contextvars
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Literal

LogFormat = Literal["json", "text"]
Fields = Mapping[str, object]

# Libraries that say more than an operator can act on; kombu warns of every broker without a host.
_QUIET = {
    "celery": logging.WARNING,
    "kombu": logging.ERROR,
    "amqp": logging.WARNING,
    "opentelemetry.exporter": logging.CRITICAL,  # URLs at every try; kdstore.otel says it once
}

_NOTHING: Fields = MappingProxyType({})
_CONTEXT: contextvars.ContextVar[Fields] = contextvars.ContextVar("log_fields", default=_NOTHING)


@contextlib.contextmanager
def log_fields(**fields: object) -> Iterator[None]:
    """Put these fields on every line that is logged inside; what is None is left out.

    A thread that is started inside has them only if it is made by `thread_with_log_fields`.
    """
    known = {name: value for name, value in fields.items() if value is not None}
    token = _CONTEXT.set({**_CONTEXT.get(), **known})
    try:
        yield
    finally:
        _CONTEXT.reset(token)


def current_log_fields() -> Fields:
    """Give the fields that lines logged here have, for what outlives this place."""
    return _CONTEXT.get()


def thread_with_log_fields(target: Callable[[], None], *, name: str) -> threading.Thread:
    """Make a daemon thread whose lines have the fields that hold here."""
    context = contextvars.copy_context()
    return threading.Thread(target=context.run, args=(target,), name=name, daemon=True)


class LineFormatter(logging.Formatter):
    """Writes a record as one line.

    Of what is handed to a logger as `extra`, and of `log_fields`, only `fields` gets out: no key,
    no URL, no body.
    """

    def __init__(self, fields: Sequence[str]) -> None:
        super().__init__()
        self._fields = tuple(fields)

    def facts(self, record: logging.LogRecord) -> dict[str, object]:
        """Give the time, level, logger, message, allowed fields, and the trace if there is one."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        given = {**_CONTEXT.get(), **vars(record)}
        line |= {name: given[name] for name in self._fields if name in given}
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return line


class JsonFormatter(LineFormatter):
    """Writes a record as one line of JSON, for machines."""

    def format(self, record: logging.LogRecord) -> str:
        """Write everything as one object."""
        return json.dumps(self.facts(record), default=str)


class TextFormatter(LineFormatter):
    """Writes a record for people: time, level, message, then `name=value`; a trace below."""

    def format(self, record: logging.LogRecord) -> str:
        """Write everything; a value is JSON, so that a stranger's text breaks no line."""
        facts = self.facts(record)
        time, level = str(facts.pop("time")), str(facts.pop("level"))
        message, logger = str(facts.pop("message")), facts.pop("logger")
        trace = facts.pop("trace", None)
        pairs = [f"{name}={json.dumps(value, default=str)}" for name, value in facts.items()]
        line = " ".join([time, f"{level:<7}", json.dumps(message)[1:-1], f"[{logger}]", *pairs])
        return line if trace is None else f"{line}\n{trace}"


_FORMATTERS: Mapping[LogFormat, type[LineFormatter]] = {
    "json": JsonFormatter,
    "text": TextFormatter,
}


def configure(level: str, fields: Sequence[str], *, log_format: LogFormat = "json") -> None:
    """Send this process's logs to standard error as lines with these fields."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_FORMATTERS[log_format](fields))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name, quiet_level in _QUIET.items():
        logging.getLogger(name).setLevel(quiet_level)
