"""A database or storage that is away for a while fails nothing; whatever else fails at once."""

import threading

import pytest
from sqlalchemy.exc import OperationalError

from kdstore.errors import ObjectNotFound, StorageUnavailable
from worker.retries import retry

AWAY = OperationalError("SELECT 1", {}, Exception("server closed the connection"))


class Flaky:
    """Raises each error once, in order, then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def test_what_was_away_is_tried_again_until_it_succeeds() -> None:
    action = Flaky(AWAY, StorageUnavailable("slow", key="k"))
    assert retry(action, abandon=threading.Event()) == "done"
    assert action.calls == 3


def test_what_is_wrong_is_raised_at_once() -> None:
    action = Flaky(ObjectNotFound("k"))
    with pytest.raises(ObjectNotFound):
        retry(action, abandon=threading.Event())
    assert action.calls == 1


def test_abandoned_work_gives_up_with_the_last_error() -> None:
    abandon = threading.Event()
    abandon.set()
    action = Flaky(AWAY, AWAY)
    with pytest.raises(OperationalError):
        retry(action, abandon=abandon)
    assert action.calls == 1


def test_patience_ends_with_its_seconds() -> None:
    action = Flaky(AWAY, AWAY)
    with pytest.raises(OperationalError):
        retry(action, abandon=threading.Event(), max_seconds=0.0)
    assert action.calls == 1
