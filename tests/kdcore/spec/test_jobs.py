"""What a distillation says of its teachers, filled in and checked."""

from typing import Any

import pytest

from kdcore.errors import Problem, SpecInvalid
from kdcore.spec import DistillJob, LogitMatching, Mlp, TeacherReference, parse_job

TWO = [{"model": "mdl_1", "weight": 2}, {"model": "mdl_2"}]


def job(**changes: Any) -> DistillJob:
    document = {
        "kind": "distill",
        "dataset": "digits",
        "teachers": TWO,
        "student": {"architecture": "mlp", "hidden": [8]},
    }
    parsed = parse_job(document | changes)
    assert isinstance(parsed, DistillJob)
    return parsed


def only_problem(**changes: Any) -> Problem:
    with pytest.raises(SpecInvalid) as raised:
        job(**changes)
    (problem,) = raised.value.problems
    return problem


class TestTeacherAverage:
    def test_several_teachers_average_probabilities(self) -> None:
        assert job().teacher_average == "probabilities"
        assert job(teacher_average=None).teacher_average == "probabilities"

    def test_logit_matching_averages_logits(self) -> None:
        assert job(method={"name": "logit_matching"}).teacher_average == "logits"
        built = DistillJob(
            dataset="digits",
            teachers=(TeacherReference(model="a"), TeacherReference(model="b")),
            student=Mlp(hidden=(8,)),
            method=LogitMatching(),
        )
        assert built.teacher_average == "logits"

    def test_what_is_given_stays(self) -> None:
        method = {"name": "logit_matching"}
        assert job(teacher_average="logits").teacher_average == "logits"
        assert job(teacher_average="probabilities", method=method).teacher_average == (
            "probabilities"
        )

    def test_one_teacher_has_none(self) -> None:
        assert job(teachers=TWO[:1]).teacher_average is None

    def test_for_one_teacher_it_means_nothing(self) -> None:
        problem = only_problem(teachers=TWO[:1], teacher_average="logits")
        assert problem.pointer == "/teacher_average"
        assert problem.code == "needs_several_teachers"
        assert "means nothing" in problem.message

    def test_resolved_spec_is_the_same_again(self) -> None:
        assert parse_job(job().model_dump_json()) == job()

    @pytest.mark.parametrize("teachers", [3, "mdl_1", None])
    def test_nonsense_for_teachers_is_told_as_such(self, teachers: object) -> None:
        assert only_problem(teachers=teachers).pointer == "/teachers"
