"""What a worker holds is handed back while its thread is stuck, and only then."""

from collections.abc import Callable

import pytest
from sqlalchemy.exc import OperationalError

from kdstore.errors import AttemptLost, ValidationLost
from worker.hand_backs import HandBacks


def _raise(error: Exception) -> Callable[[], None]:
    def hand_back() -> None:
        raise error

    return hand_back


def test_what_is_held_is_handed_back_and_what_was_held_is_not() -> None:
    hand_backs, done = HandBacks(), []
    with hand_backs.holding(lambda: done.append("ended")):
        pass
    with (
        hand_backs.holding(lambda: done.append("job")),
        hand_backs.holding(lambda: done.append("model")),
    ):
        assert hand_backs.hand_back_all()
    assert done == ["job", "model"]


@pytest.mark.parametrize("error", [AttemptLost("job_1", 1), ValidationLost("mdl_1", 1)])
def test_what_its_own_thread_has_ended_meanwhile_is_fine(error: Exception) -> None:
    hand_backs = HandBacks()
    with hand_backs.holding(_raise(error)):
        assert hand_backs.hand_back_all()


def test_database_that_is_away_is_told_and_does_not_keep_the_rest() -> None:
    hand_backs, done = HandBacks(), []
    away = OperationalError("UPDATE", {}, Exception("away"))
    with (
        hand_backs.holding(_raise(away)),
        hand_backs.holding(lambda: done.append("model")),
    ):
        assert not hand_backs.hand_back_all()
    assert done == ["model"]
