"""Trying again with back-off: a database or storage that is away for a while fails no job."""

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.orm import Session

from kdstore.db import SessionFactory, transaction
from kdstore.errors import StorageUnavailable

_log = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

DATABASE_AWAY = (OperationalError, InterfaceError, PoolExhausted)
_AWAY = (*DATABASE_AWAY, StorageUnavailable)
_FIRST_DELAY_SECONDS = 0.2
_LONGEST_DELAY_SECONDS = 5.0


def retry(
    action: Callable[[], ResultT], *, abandon: threading.Event, max_seconds: float = float("inf")
) -> ResultT:
    """Do `action` until database and storage let it succeed.

    Gives up with the last error when `abandon` is set, or after `max_seconds`. Whatever else it
    raises is raised at once.
    """
    give_up_at = time.monotonic() + max_seconds
    delay = _FIRST_DELAY_SECONDS
    while True:
        try:
            return action()
        except _AWAY as error:
            if time.monotonic() + delay > give_up_at or abandon.wait(delay):
                raise
            _log.warning("trying again", extra={"detail": type(error).__name__})
            delay = min(2 * delay, _LONGEST_DELAY_SECONDS)


def write(
    session_factory: SessionFactory,
    action: Callable[[Session], ResultT],
    *,
    abandon: threading.Event,
) -> ResultT:
    """Run one writing transaction, again and again while the database is away."""

    def attempt() -> ResultT:
        with transaction(session_factory) as session:
            return action(session)

    return retry(attempt, abandon=abandon)
