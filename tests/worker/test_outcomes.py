"""Every way in which a child can end is one fact."""

import pytest

from kdstore.jobs import JobError
from worker.messages import Failed, Stopped
from worker.outcomes import Failure, outcome_of
from worker.watch import StopReason

DIVERGED = Failed(code="diverged", message="Lower it.", fault="user", cause="diverged")


def test_last_word_of_a_failed_child_counts_whatever_its_status() -> None:
    expected = Failure(JobError("diverged", "Lower it.", "user"), "diverged")
    assert outcome_of(DIVERGED, status=0, reason=None) == expected
    assert outcome_of(DIVERGED, status=-9, reason="cancelled") == expected


@pytest.mark.parametrize("reason", ["cancelled", "paused", "shutdown", None])
def test_child_that_says_it_stopped_has_stopped(reason: StopReason | None) -> None:
    assert outcome_of(Stopped(step=4), status=0, reason=reason) == Stopped(step=4)


@pytest.mark.parametrize("reason", ["cancelled", "paused", "shutdown", "lost"])
@pytest.mark.parametrize("status", [-9, -15, 0])
def test_silent_child_that_was_to_stop_has_stopped(reason: StopReason, status: int) -> None:
    assert isinstance(outcome_of(None, status=status, reason=reason), Stopped)


@pytest.mark.parametrize("last", [None, Stopped(step=4)])
def test_child_stopped_for_its_time_limit_has_failed_by_the_users_fault(
    last: Stopped | None,
) -> None:
    outcome = outcome_of(last, status=-9, reason="timed_out")
    assert isinstance(outcome, Failure)
    assert (outcome.cause, outcome.error.code, outcome.error.fault) == (
        "timed_out",
        "time_limit_reached",
        "user",
    )


def test_child_killed_while_memory_ran_out_ran_out_of_memory_by_no_fault_of_the_user() -> None:
    outcome = outcome_of(None, status=-9, reason=None, ran_out_of_memory=True)
    assert isinstance(outcome, Failure)
    assert (outcome.cause, outcome.error.code, outcome.error.fault) == (
        "out_of_memory",
        "out_of_memory",
        "system",
    )


def test_child_that_crashed_while_another_ran_out_of_memory_has_crashed() -> None:
    outcome = outcome_of(None, status=-11, reason=None, ran_out_of_memory=True)
    assert isinstance(outcome, Failure)
    assert outcome.cause == "system_error"


@pytest.mark.parametrize(
    ("status", "cause", "code"),
    [
        (-9, "killed", "trainer_killed"),
        (-11, "system_error", "trainer_crashed"),
        (1, "system_error", "trainer_crashed"),
        (0, "system_error", "trainer_crashed"),
    ],
)
def test_silent_child_that_nobody_stopped_is_the_systems_fault(
    status: int, cause: str, code: str
) -> None:
    outcome = outcome_of(None, status=status, reason=None)
    assert isinstance(outcome, Failure)
    assert (outcome.cause, outcome.error.code, outcome.error.fault) == (cause, code, "system")
