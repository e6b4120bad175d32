"""Terms that do not say that they relate images are means over them, in every method.

On that rests the training of one network in several processes: each weighs its part of the batch
by its images.
"""

from pathlib import Path

import pytest
import torch

from kdcore.catalog.methods import MethodEntry, methods
from kdcore.data import ArrayDataset, Batch, builtin, load_dataset
from kdcore.devices import choose_compute
from kdcore.features import Tapped
from kdcore.job_runs import JobRuns, describe_network, layers_of
from kdcore.methods import Labels, Objective, Step
from kdcore.pairing import has_pairs
from kdcore.resolution import resolve_job
from kdcore.teacher import load_teachers
from kdcore.trainer import RunPlan
from kdcore.trainer.checkpoints import Tensors
from tests.kdcore.methods.test_golden_curves import job_of, make_teacher

RELATING = {"crd", "dist", "reviewkd", "rkd"}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> ArrayDataset:
    folder = tmp_path_factory.mktemp("data") / "digits"
    builtin("digits", folder)
    return load_dataset(folder)


def student_plan(entry: MethodEntry, digits: ArrayDataset, folder: Path) -> RunPlan:
    job = job_of(entry)
    teachers = [make_teacher(job, digits, folder, seed=0) for _ in job.teachers]
    if has_pairs(job.method) and teachers:
        job = resolve_job(
            job,
            student_layers=layers_of(describe_network(job, digits)),
            teacher_layers=layers_of(teachers[0].description),
        )
    compute = choose_compute(device="cpu", num_threads=1)
    runs = JobRuns(job, digits, teachers=load_teachers(teachers, compute), compute=compute)
    finished: dict[str, Tensors] = {}
    for run in runs.runs:
        plan = runs.plan(run, finished)
        if run == "student":
            return plan
        finished[run] = dict(plan.classifier.network.state_dict())
    raise AssertionError("every distillation has a student")


def step_of(plan: RunPlan, objective: Objective, batch: Batch) -> Step:
    """A step in eval mode, where no image has a part in what another one becomes."""
    plan.classifier.eval()
    objective.eval()
    student = Tapped(plan.classifier, objective.student_layers)
    teacher = None
    if plan.teacher is not None and objective.needs_teacher:
        teacher = plan.teacher.observe(batch.images_BCHW, objective.teacher_layers)
    return Step(
        student=student(batch.images_BCHW),
        teacher=teacher,
        labels=Labels(batch.labels_B),
        images_BCHW=batch.images_BCHW,
        indices_B=batch.member_B,
        epoch=1000.0,
    )


@pytest.mark.parametrize("entry", methods(), ids=lambda entry: entry.name)
def test_value_of_a_batch_is_the_mean_over_its_parts(
    entry: MethodEntry, digits: ArrayDataset, tmp_path: Path
) -> None:
    plan = student_plan(entry, digits, tmp_path)
    relates = any(stage.objective.relates_images for stage in plan.stages)
    assert relates == (entry.name in RELATING)
    batch = plan.view.batch(0, 0)
    parts = [slice(0, 40), slice(40, 64)]
    for stage in plan.stages:
        whole = step_of(plan, stage.objective, batch)
        steps = [step_of(plan, stage.objective, batch.part(rows)) for rows in parts]
        for term in stage.objective.separable_terms():
            value = 40 / 64 * term(steps[0]) + 24 / 64 * term(steps[1])
            torch.testing.assert_close(value, term(whole), rtol=1e-4, atol=1e-6, msg=term.name)
