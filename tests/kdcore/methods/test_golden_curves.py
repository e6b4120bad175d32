"""The loss curve of one small run of every method is the one that was recorded for it.

Each method of the catalog has a file `fixtures/golden_curves/NAME.json`: the points of its loss
and terms, and in "job" the fields in which its job differs from JOB (mostly none, or a "method"
that needs more than its defaults). To record a new method, or one whose numbers were meant to
change (then say why in the commit):

    python tests/kdcore/methods/test_golden_curves.py NAME ...

For a method that cannot run on its defaults, first write the file with "job" alone; recording
keeps it. Without names every method is recorded.

Points may differ by half a percent (TOLERANCE), for machines round differently and in other
orders. Measured: without AVX the curves come out up to 3e-5 apart, without oneDNN's kernels up to
7e-4, so another CPU has a margin of seven. A wrong formula does not pass: a lost T², a sum in
place of a mean or a map that is not squared is a factor, and the least that was thought of, a
deviation over C in place of C - 1, moves its curve by 5 %. Runs on one machine give the same
bits, which other tests hold.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from kdcore.catalog.methods import MethodEntry, methods
from kdcore.checkpoints import write_safetensors
from kdcore.data import ArrayDataset, builtin, load_dataset
from kdcore.job_runs import describe_network
from kdcore.models import build_network
from kdcore.progress import Metrics, RunEvent
from kdcore.run import TeacherInput, run
from kdcore.spec import DistillJob, ResnetCifar, parse_job

FOLDER = Path(__file__).parent / "fixtures" / "golden_curves"
TOLERANCE = 5e-3

# Of the student's channels, so that methods without adapters can compare layers.
TEACHER = ResnetCifar(depth=14, width=8)
JOB: dict[str, Any] = {
    "kind": "distill",
    "dataset": "digits",
    "student": {"architecture": "resnet_cifar", "depth": 8, "width": 8},
    "training": {
        "num_epochs": 1,
        "batch_size": 64,
        # A small rate without momentum: differences in rounding do not grow from step to step.
        "optimizer": {"name": "sgd", "learning_rate": 0.002, "momentum": 0.0},
        "precision": "float32",
    },
    "control": False,
    "on_weak_teacher": "warn",
    "evaluation": {"latency": False},
    "exports": ["safetensors"],
}

Json = dict[str, Any]  # as it is stored
Curves = dict[str, list[tuple[int, float]]]
"""Points (step, value) by the name of the series."""


def recording(name: str) -> Json:
    """Read what is recorded of a method; nothing, for a method that has no file."""
    path = FOLDER / f"{name}.json"
    stored: Json = json.loads(path.read_text()) if path.exists() else {}
    return stored


def job_of(entry: MethodEntry) -> DistillJob:
    teachers = [{"model": f"teacher_{index}"} for index in range(entry.needs.min_teachers)]
    fields = JOB | {"teachers": teachers, "method": {"name": entry.name}}
    job = parse_job(fields | recording(entry.name).get("job", {}))
    assert isinstance(job, DistillJob)
    return job


def curves_of(entry: MethodEntry, dataset: ArrayDataset, folder: Path) -> Curves:
    """Run the method's job in `folder` on one CPU thread; give the curves of the student's loss."""
    job = job_of(entry)
    events: list[RunEvent] = []
    run(
        job,
        dataset=dataset,
        teachers=[
            make_teacher(job, dataset, folder, seed=seed) for seed, _ in enumerate(job.teachers)
        ],
        folder=folder / "job",
        device="cpu",
        num_threads=1,
        reporter=events.append,
    )
    curves: Curves = {}
    for event in events:
        if isinstance(event, Metrics) and event.run == "student":
            for point in event.points:
                if not point.name.startswith("test_"):
                    curves.setdefault(point.name, []).append((point.step, point.value))
    return curves


def make_teacher(
    job: DistillJob, dataset: ArrayDataset, folder: Path, *, seed: int
) -> TeacherInput:
    description = describe_network(job, dataset).model_copy(update={"architecture": TEACHER})
    path = folder / f"teacher_{seed}.safetensors"
    write_safetensors(path, build_network(description, seed=seed).state_dict())
    return TeacherInput(description, path)


@pytest.mark.parametrize("entry", methods(), ids=lambda entry: entry.name)
def test_loss_curve_is_the_recorded_one(
    entry: MethodEntry, digits: ArrayDataset, tmp_path: Path
) -> None:
    recorded = recording(entry.name).get("curves")
    assert recorded, f"{entry.name} has no recorded curve; this file's docstring tells how."

    curves = curves_of(entry, digits, tmp_path)

    assert curves.keys() == recorded.keys()
    for name, points in curves.items():
        assert [step for step, _ in points] == [step for step, _ in recorded[name]], name
        expected = [value for _, value in recorded[name]]
        assert [value for _, value in points] == pytest.approx(expected, rel=TOLERANCE, abs=1e-6), (
            name
        )


def test_every_recording_is_of_a_method() -> None:
    assert {path.stem for path in FOLDER.iterdir()} <= {entry.name for entry in methods()}


def record(names: list[str]) -> None:
    """Run the named methods, or all of them, and write down their curves."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        builtin("digits", Path(temporary) / "digits")
        dataset = load_dataset(Path(temporary) / "digits")
        for entry in methods():
            if names and entry.name not in names:
                continue
            folder = Path(temporary) / entry.name
            folder.mkdir()
            curves = curves_of(entry, dataset, folder)
            kept = {"job": recording(entry.name).get("job", {}), "curves": curves}
            (FOLDER / f"{entry.name}.json").write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    record(sys.argv[1:])
