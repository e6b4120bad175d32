"""Whole jobs whose layers are named or left out, with a torchvision student that works in place."""

import io
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdcore.checkpoints import read_safetensors, write_safetensors
from kdcore.data import ArrayDataset, ingest, load_dataset
from kdcore.errors import IncompatibleInputs, Interrupted
from kdcore.job_runs import describe_network
from kdcore.models import build_network
from kdcore.progress import Metrics, RunEvent
from kdcore.run import TeacherInput, never_stop, run
from kdcore.spec import DistillJob, ResnetCifar, parse_job

SIDE = 32
SPEC: dict[str, Any] = {
    "kind": "distill",
    "dataset": "colours",
    "teachers": [{"model": "teacher"}],
    "on_weak_teacher": "warn",
    "student": {"architecture": "torchvision/mobilenet_v2"},
    "training": {"num_epochs": 1, "batch_size": 16},
    "control": False,
    "evaluation": {"latency": False},
    "exports": ["safetensors"],
}
# What the student gives there is overwritten by a ReLU6 in place, one layer on.
NAMED = {
    "name": "feature_matching",
    "layers": [
        {"student": "features.2.conv.0.1", "teacher": "layer2", "adapter": "conv1x1"},
        {"student": "classifier.1@input", "teacher": "fc@input", "adapter": "linear"},
    ],
}


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> ArrayDataset:
    """Images of 32x32 in three colours; the class is the colour that is strongest."""
    folder = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(0)
    arrays: dict[str, Any] = {}  # for savez, whose stub takes every keyword for a switch
    for split, num in (("train", 32), ("test", 12)):
        labels_N = np.arange(num) % 3
        images_NHWC = generator.integers(0, 128, (num, SIDE, SIDE, 3), dtype=np.uint8)
        images_NHWC[np.arange(num), :, :, labels_N] += 96
        arrays |= {f"x_{split}": images_NHWC, f"y_{split}": labels_N}
    content = io.BytesIO()
    np.savez(content, **arrays)
    (folder / "colours.npz").write_bytes(content.getvalue())
    ingest(folder / "colours.npz", format="npz", name="colours", destination=folder / "canonical")
    return load_dataset(folder / "canonical")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, colours: ArrayDataset) -> TeacherInput:
    description = describe_network(parse(), colours)
    description = description.model_copy(update={"architecture": ResnetCifar(depth=8, width=8)})
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    write_safetensors(path, build_network(description, seed=5).state_dict())
    return TeacherInput(description, path)


def parse(**changes: Any) -> DistillJob:
    job = parse_job(SPEC | changes)
    assert isinstance(job, DistillJob)
    return job


def run_job(
    folder: Path,
    colours: ArrayDataset,
    teacher: TeacherInput,
    spec: DistillJob,
    *,
    stop_at_question: int | None = None,
) -> dict[str, Any]:
    """Run the job; give its spec as the manifest tells it."""
    questions = itertools.count(1)
    run(
        spec,
        dataset=colours,
        teachers=[teacher],
        folder=folder,
        device="cpu",
        num_threads=1,
        should_stop=(
            never_stop if stop_at_question is None else lambda: next(questions) >= stop_at_question
        ),
        checkpoint_seconds=1000.0,
    )
    manifest: dict[str, Any] = json.loads((folder / "artifacts" / "manifest.json").read_text())
    spec_run: dict[str, Any] = manifest["spec"]
    return spec_run


def test_named_layers_of_a_torchvision_student_teach_it(
    tmp_path: Path, colours: ArrayDataset, teacher: TeacherInput
) -> None:
    spec = run_job(tmp_path, colours, teacher, parse(method=NAMED))

    assert spec["method"]["layers"] == NAMED["layers"]
    student, _ = read_safetensors(tmp_path / "artifacts" / "student.safetensors")
    plain = build_network(describe_network(parse(), colours), device="meta").state_dict()
    assert student.keys() == plain.keys()


def test_layers_that_were_left_out_are_in_the_manifest_whose_spec_goes_on_with_the_job(
    tmp_path: Path, colours: ArrayDataset, teacher: TeacherInput
) -> None:
    left_out = parse(method={"name": "fitnet"})
    resolved = run_job(tmp_path / "whole", colours, teacher, left_out)

    # Both have maps of 16x16 and 8x8; the earlier of the two is the hint.
    assert resolved["method"]["layers"] == [
        {"student": "features.1", "teacher": "layer2", "adapter": "conv1x1"}
    ]
    assert [stage["stage"] for stage in resolved["training"]["stages"]] == ["hint", "training"]

    with pytest.raises(Interrupted):
        run_job(tmp_path / "halved", colours, teacher, left_out, stop_at_question=2)
    spec = parse_job(resolved)
    assert isinstance(spec, DistillJob)
    assert run_job(tmp_path / "halved", colours, teacher, spec) == resolved
    halves = [tmp_path / name / "artifacts" / "student.safetensors" for name in ("whole", "halved")]
    (one, _), (other, _) = (read_safetensors(path) for path in halves)
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("layer", "code"),
    [
        ({"student": "features.2.conv.9", "teacher": "layer3"}, "unknown_layer"),
        ({"student": "features.0", "teacher": "layer2"}, "layer_channels_differ"),
        (
            {"student": "features.1", "teacher": "layer3", "adapter": "conv1x1"},
            "layer_sizes_differ",
        ),
    ],
)
def test_misfit_is_refused_before_anything_is_trained(
    tmp_path: Path,
    colours: ArrayDataset,
    teacher: TeacherInput,
    layer: dict[str, str],
    code: str,
) -> None:
    events: list[RunEvent] = []
    with pytest.raises(IncompatibleInputs) as refused:
        run(
            parse(method={"name": "feature_matching", "layers": [layer]}),
            dataset=colours,
            teachers=[teacher],
            folder=tmp_path,
            device="cpu",
            num_threads=1,
            reporter=events.append,
        )

    assert refused.value.code == code
    assert refused.value.pointer.startswith("/method/layers/0")
    assert not any(isinstance(event, Metrics) for event in events)
    assert list(tmp_path.iterdir()) == []
