"""Small jobs on transfer sets, for the tests of whole jobs."""

from pathlib import Path
from typing import Any

from kdcore.data import ArrayDataset
from kdcore.devices import choose_compute
from kdcore.job_runs import JobRuns, describe_network
from kdcore.run import TeacherInput
from kdcore.seeds import derive_seed
from kdcore.spec import DistillJob
from kdcore.teacher import Teachers
from tests.kdcore.small_jobs import parse_distillation, untrained

SPEC: dict[str, Any] = {
    "kind": "distill",
    "dataset": "digits",
    "teachers": [{"model": "teacher"}],
    "on_weak_teacher": "warn",
    "student": {"architecture": "mlp", "hidden": [16]},
    "transfer": {"augmentation": {"name": "jitter", "pixels": 1}},
    "training": {"num_epochs": 2, "batch_size": 64},
    "evaluation": {"latency": False},
    "exports": ["safetensors"],
}
SOFT_ONLY = {"name": "logit_kd", "ce_weight": 0.0, "kd_weight": 1.0}
COMPUTE = choose_compute(device="cpu", precision="float32", num_threads=1)


def parse_spec(**changes: Any) -> DistillJob:
    return parse_distillation(SPEC | changes)


def make_teacher(folder: Path, dataset: ArrayDataset) -> TeacherInput:
    """Make a teacher that is the student before its first step."""
    description = describe_network(parse_spec(), dataset)
    return untrained(folder, description, seed=derive_seed(0, "weights"))


def job_runs(
    spec: DistillJob, dataset: ArrayDataset, *, transfer_dataset: ArrayDataset | None = None
) -> JobRuns:
    return JobRuns(
        spec,
        dataset,
        transfer_dataset=transfer_dataset,
        teachers=Teachers(),
        compute=COMPUTE,
    )
