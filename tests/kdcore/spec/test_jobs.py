"""What a distillation says of its teachers, filled in and checked."""

from typing import Any

import pytest

from kdcore.catalog.methods import methods
from kdcore.errors import Problem, SpecInvalid
from kdcore.spec import DistillJob, LogitMatching, Mlp, TeacherReference, parse_job

SMALL = {"architecture": "mlp", "hidden": [16]}
BORN_AGAIN = {"name": "self_distillation"}
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


class TestNumberOfTeachers:
    def test_method_of_one_teacher_takes_no_second(self) -> None:
        problem = only_problem(method={"name": "rkd"})
        assert (problem.pointer, problem.code) == ("/teachers", "too_long")
        assert problem.message == "rkd takes 1 teacher, not 2."

    def test_method_without_a_teacher_takes_none(self) -> None:
        problem = only_problem(method=BORN_AGAIN)
        assert (problem.pointer, problem.code) == ("/teachers", "too_long")
        assert problem.message == "self_distillation takes no teacher, not 2."
        assert job(method=BORN_AGAIN, teachers=[]).teachers == ()

    def test_method_without_a_teacher_needs_labels(self) -> None:
        problem = only_problem(method=BORN_AGAIN, teachers=[], transfer={"unlabeled": True})
        assert problem.pointer == "/transfer/unlabeled"
        assert problem.code == "unlabeled_needs_teacher"


class TestAssistants:
    def test_they_stand_between_logits_alone(self) -> None:
        assert len(job(assistants=[SMALL, SMALL]).assistants) == 2
        for changes in (
            {"method": {"name": "rkd"}, "teachers": TWO[:1]},
            {"method": BORN_AGAIN, "teachers": []},
        ):
            problem = only_problem(assistants=[SMALL], **changes)
            assert (problem.pointer, problem.code) == ("/assistants", "assistants_without_use")

    def test_there_are_three_at_most(self) -> None:
        assert only_problem(assistants=[SMALL] * 4).pointer == "/assistants"

    def test_mistake_in_one_of_them_is_placed(self) -> None:
        problem = only_problem(assistants=[SMALL, {"architecture": "mlp", "hidden": [0]}])
        assert problem.pointer == "/assistants/1/hidden"


class TestSelfDistillation:
    def test_its_control_cannot_be_left_out(self) -> None:
        problem = only_problem(method=BORN_AGAIN, teachers=[], control=False)
        assert (problem.pointer, problem.code) == ("/control", "control_is_generation_0")

    @pytest.mark.parametrize("generations", [0, 6])
    def test_generations_are_1_to_5(self, generations: int) -> None:
        method = {**BORN_AGAIN, "generations": generations}
        problem = only_problem(method=method, teachers=[])
        assert (problem.pointer, problem.code) == ("/method/generations", "out_of_range")

    def test_some_term_has_a_weight(self) -> None:
        method = {**BORN_AGAIN, "ce_weight": 0, "kd_weight": 0}
        assert only_problem(method=method, teachers=[]).code == "no_loss_left"


class TestMix:
    def test_method_that_tells_images_apart_takes_no_mixed_ones(self) -> None:
        problem = only_problem(
            method={"name": "crd"}, teachers=TWO[:1], transfer={"mix": {"name": "cutmix"}}
        )
        assert (problem.pointer, problem.code) == ("/transfer/mix", "mix_without_meaning")
        assert "method.name is crd" in problem.message
        assert "transfer.mix is cutmix" in problem.message

    def test_every_other_method_takes_them(self) -> None:
        refusing = [entry.name for entry in methods() if not entry.spec.TAKES_MIXES]
        assert refusing == ["crd"]
        assert job(transfer={"mix": {"name": "mixup"}}).method.name == "logit_kd"


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


def test_batch_has_an_image_for_each_process_at_least() -> None:
    problem = only_problem(training={"batch_size": 3}, resources={"num_processes": 4})
    assert (problem.pointer, problem.code) == (
        "/resources/num_processes",
        "batch_smaller_than_processes",
    )
    assert "4 processes cannot share a batch of 3" in problem.message
    assert job(training={"batch_size": 4}, resources={"num_processes": 4}).training.batch_size == 4
