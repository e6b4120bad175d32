"""Structured logs of api and worker: one JSON object a line, holding only allowed fields."""

import json
import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

# Libraries that say more than an operator can act on; kombu warns of every broker without a host.
_QUIET = {
    "celery": logging.WARNING,
    "kombu": logging.ERROR,
    "amqp": logging.WARNING,
}


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON.

    Of what is handed to a logger as `extra`, only `fields` gets out: no key, no URL, no body.
    """

    def __init__(self, fields: Sequence[str]) -> None:
        super().__init__()
        self._fields = tuple(fields)

    def format(self, record: logging.LogRecord) -> str:
        """Write the time, level, logger, message, allowed fields, and the trace if there is one."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: vars(record)[name] for name in self._fields if name in vars(record)}
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(level: str, fields: Sequence[str]) -> None:
    """Send this process's logs to standard error as JSON lines with these fields."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(fields))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name, quiet_level in _QUIET.items():
        logging.getLogger(name).setLevel(quiet_level)
