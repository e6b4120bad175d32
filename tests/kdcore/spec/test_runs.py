"""Which networks a job trains, in which order, and who teaches whom."""

from typing import Any

from kdcore.spec import Mlp, parse_job
from kdcore.spec.runs import PlannedRun, peer_architectures, plan_runs

DOCUMENT: dict[str, Any] = {
    "kind": "distill",
    "dataset": "digits",
    "teachers": [{"model": "mdl_1"}],
    "student": {"architecture": "mlp", "hidden": [8]},
}


def runs(**changes: Any) -> tuple[PlannedRun, ...]:
    return plan_runs(parse_job(DOCUMENT | changes))


def taught_by(planned: tuple[PlannedRun, ...]) -> list[tuple[str, str | None]]:
    return [(each.name, each.taught_by) for each in planned]


def test_trained_network_learns_from_labels_alone() -> None:
    network = {"architecture": "mlp", "hidden": [8]}
    job = parse_job({"kind": "train", "dataset": "digits", "network": network})
    assert plan_runs(job) == (PlannedRun("network", Mlp(hidden=(8,))),)


def test_student_learns_from_the_teachers_and_its_control_from_labels() -> None:
    student, control = runs()
    assert (student.name, student.taught_by) == ("student", "teacher")
    assert student.method is not None
    assert (control.name, control.taught_by, control.method) == ("control", None, None)
    assert taught_by(runs(control=False)) == [("student", "teacher")]


def test_each_assistant_learns_from_the_one_before_and_the_student_from_the_last() -> None:
    assistants = [{"architecture": "mlp", "hidden": [width]} for width in (64, 32)]
    planned = runs(assistants=assistants)
    assert taught_by(planned) == [
        ("assistant_1", "teacher"),
        ("assistant_2", "assistant_1"),
        ("student", "assistant_2"),
        ("control", None),
    ]
    assert [each.architecture for each in planned] == [
        Mlp(hidden=(64,)),
        Mlp(hidden=(32,)),
        Mlp(hidden=(8,)),
        Mlp(hidden=(8,)),
    ]
    assert [each.is_student for each in planned] == [False, False, True, True]


def test_generations_follow_the_control_and_end_with_the_student() -> None:
    method = {"name": "self_distillation", "generations": 3}
    planned = runs(teachers=[], method=method)
    assert taught_by(planned) == [
        ("control", None),
        ("generation_1", "control"),
        ("generation_2", "generation_1"),
        ("student", "generation_2"),
    ]
    assert {each.architecture for each in planned} == {Mlp(hidden=(8,))}
    one = runs(teachers=[], method=method | {"generations": 1})
    assert taught_by(one) == [("control", None), ("student", "control")]


def test_peers_learn_in_the_students_run_and_have_none_of_their_own() -> None:
    method = {"name": "mutual_learning", "num_peers": 2}
    other = {"architecture": "mlp", "hidden": [32]}
    listed = DOCUMENT | {"teachers": [], "method": {"name": "mutual_learning", "peers": [other]}}

    planned = runs(teachers=[], method=method)

    assert taught_by(planned) == [("student", None), ("control", None)]
    two = peer_architectures(parse_job(DOCUMENT | {"teachers": [], "method": method}))
    assert two == {"peer_1": Mlp(hidden=(8,)), "peer_2": Mlp(hidden=(8,))}
    assert peer_architectures(parse_job(listed)) == {"peer_1": Mlp(hidden=(32,))}
    assert peer_architectures(parse_job(DOCUMENT)) == {}
