"""What the runs of a job are built of."""

from typing import Any

import pytest
import torch

from kdcore.catalog.methods import MethodEntry, methods
from kdcore.data import ArrayDataset
from kdcore.devices import Compute
from kdcore.job_runs import JobRuns, describe_network, layers_of
from kdcore.models import Classifier, build_network
from kdcore.resolution import resolve_job
from kdcore.spec import DistillJob, NetworkDescription, ResnetCifar, TrainingSpec
from kdcore.spec.training import StageSpec
from kdcore.teacher import Teacher, Teachers
from tests.kdcore.small_jobs import parse_distillation

COMPUTE = Compute(torch.device("cpu"), "float32", num_threads=1)


def job(entry: MethodEntry, **weights: float) -> DistillJob:
    document: dict[str, Any] = {
        "kind": "distill",
        "dataset": "digits",
        "teachers": [{"model": "teacher"}] * entry.needs.min_teachers,
        "student": {"architecture": "resnet_cifar", "depth": 8, "width": 8},
        "method": {"name": entry.name, **weights},
    }
    return parse_distillation(document)


def reads_logits(spec: DistillJob, dataset: ArrayDataset) -> bool:
    """Whether some stage of the student runs the teacher to its end."""
    student = describe_network(spec, dataset)
    wide = {"architecture": ResnetCifar(depth=14, width=8)}
    description: NetworkDescription = student.model_copy(update=wide)
    resolved = resolve_job(
        spec, student_layers=layers_of(student), teacher_layers=layers_of(description)
    )
    classifier = Classifier(build_network(description, seed=0), description.input)
    teachers = Teachers((Teacher(classifier),), (description,), ("0" * 64,))
    plan = JobRuns(resolved, dataset, teachers=teachers, compute=COMPUTE).plan("student", {})
    return any(stage.objective.needs_teacher_logits for stage in plan.stages)


WITH_A_TEACHER = [entry for entry in methods() if entry.needs.max_teachers]


@pytest.mark.parametrize("entry", WITH_A_TEACHER, ids=lambda entry: entry.name)
def test_method_that_reads_the_teachers_logits_says_so(
    entry: MethodEntry, digits: ArrayDataset
) -> None:
    """A teacher of other classes is let in by what the spec says."""
    spec = job(entry)
    assert spec.method.reads_teacher_logits or not reads_logits(spec, digits)


def test_layers_can_be_learned_from_a_teacher_of_any_task() -> None:
    of_any_task = {e.name for e in WITH_A_TEACHER if not job(e).method.reads_teacher_logits}
    assert {"attention", "fsp", "rkd"} <= of_any_task


@pytest.mark.parametrize(
    "entry",
    [entry for entry in WITH_A_TEACHER if entry.spec.PAIRING != "none"],
    ids=lambda entry: entry.name,
)
def test_soft_targets_beside_layers_read_logits(entry: MethodEntry, digits: ArrayDataset) -> None:
    spec = job(entry, kd_weight=0.5)
    assert spec.method.reads_teacher_logits
    assert reads_logits(spec, digits)


def test_stages_begin_where_the_ones_before_them_end(digits: ArrayDataset) -> None:
    """A page of curves marks them: fsp has a stage of its own, soft targets have not."""
    fsp = next(entry for entry in WITH_A_TEACHER if entry.name == "fsp")
    one = next(entry for entry in WITH_A_TEACHER if entry.name == "logit_kd")
    training = TrainingSpec(
        num_epochs=4, batch_size=100, stages=(StageSpec(stage="fsp", num_steps=17),)
    )
    planned = [
        JobRuns(
            job(entry).model_copy(update={"training": spec}),
            digits,
            teachers=Teachers(),
            compute=COMPUTE,
        ).stages_of("student")
        for entry, spec in ((fsp, training), (one, TrainingSpec()))
    ]

    starts = [[(stage.name, stage.first_step) for stage in stages] for stages in planned]
    assert starts == [[("fsp", 0), ("training", 17)], [("training", 0)]]
    assert planned[0][0].num_steps == 17
