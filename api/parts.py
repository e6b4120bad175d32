"""The parts that the service stands on, and whether each can be used."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import Engine, text

from api.latest import Latest
from kdstore.objects import ObjectStore

Part = Literal["database", "objects", "broker"]

_LOG = logging.getLogger("potstill.api")
_BROKER_SECONDS = 2.0
# Below what a start probe of Kubernetes waits, 6 s, and a scrape of Prometheus, 10 s.
WAIT_SECONDS: Final = 4.0


@dataclass(frozen=True)
class Parts:
    """Tries every part beside the others. One that gives no answer in time is down."""

    probes: Mapping[Part, Latest[None]]

    def down(self, *, max_age_seconds: float = 0.0) -> list[Part]:
        """Name the parts that cannot be used, by answers not older than that."""
        deadline = time.monotonic() + WAIT_SECONDS
        answers = {
            part: probe.ask(max_age_seconds=max_age_seconds) for part, probe in self.probes.items()
        }
        down: list[Part] = []
        for part, answer in answers.items():
            try:
                error = answer.exception(timeout=max(0.0, deadline - time.monotonic()))
            except TimeoutError as timeout:
                error = timeout
            if error is not None:
                _LOG.warning("part is down", extra={"part": part, "cause": type(error).__name__})
                down.append(part)
        return down


def make_parts(*, engine: Engine, objects: ObjectStore, queue: Any) -> Parts:
    """Make the probes of an installation; `queue` is the Celery app, which ships no types."""
    questions: dict[Part, Callable[[], None]] = {
        "database": lambda: _ask_database(engine),
        "objects": lambda: _ask_objects(objects),
        "broker": lambda: _ask_broker(queue),
    }
    return Parts({part: Latest(question) for part, question in questions.items()})


def _ask_database(engine: Engine) -> None:
    with engine.connect() as connection:
        # Fails as well where the tables have not been made.
        connection.execute(text("SELECT count(*) FROM workspaces"))


def _ask_objects(objects: ObjectStore) -> None:
    objects.exists("readiness")


def _ask_broker(queue: Any) -> None:
    with queue.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=_BROKER_SECONDS)
