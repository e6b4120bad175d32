"""Which changes of a job make it other work, and which only another request for it."""

from typing import Any

import pytest

from kdcore.spec import parse_job, work_of

DOCUMENT = {
    "kind": "distill",
    "dataset": "digits",
    "teachers": [{"model": "mdl_1"}],
    "student": {"architecture": "mlp", "hidden": [8]},
}


def work(**changes: Any) -> str:
    return work_of(parse_job(DOCUMENT | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "a name"},
        {"tags": {"team": "vision"}},
        {"priority": 5},
        {"limits": {"max_seconds": 5, "max_attempts": 9}},
        {"training": {"checkpoint_every_epochs": 3}},
    ],
)
def test_bookkeeping_changes_no_work(changes: dict[str, Any]) -> None:
    assert work(**changes) == work()


def test_bookkeeping_of_a_training_leaves_the_rest_of_it() -> None:
    changed = {"seed": 1, "checkpoint_every_epochs": 3}
    assert work(training=changed) == work(training={"seed": 1}) != work()


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"seed": 1}},
        {"training": {"optimizer": {"name": "sgd"}}},
        {"method": {"name": "logit_kd", "temperature": 5}},
        {"student": {"architecture": "mlp", "hidden": [9]}},
        {"resources": {"num_processes": 2}},
        {"control": False},
        {"dataset": "dts_1"},
    ],
)
def test_what_is_computed_changes_the_work(changes: dict[str, Any]) -> None:
    assert work(**changes) != work()


def test_methods_with_nothing_but_defaults_differ() -> None:
    assert len({work(method={"name": name}) for name in ("fsp", "fitnet", "rkd", "logit_kd")}) == 4


def test_a_default_spelled_out_changes_no_work() -> None:
    """So a field that a later release adds changes no job that was queued before."""
    spelled = {"temperature": 4.0, "name": "logit_kd"}
    assert work(method=spelled, transfer={"fraction": 1.0}) == work()
    assert "temperature" not in work()
