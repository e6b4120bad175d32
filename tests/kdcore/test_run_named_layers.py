"""Whole jobs whose layers are named or left out, with a torchvision student that works in place."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kdcore.data import ArrayDataset, ingest, load_dataset
from kdcore.errors import IncompatibleInputs, Interrupted
from kdcore.job_runs import describe_network
from kdcore.models import build_network
from kdcore.progress import Metrics, RunEvent, SpecResolved
from kdcore.run import TeacherInput
from kdcore.spec import DistillJob, ResnetCifar
from tests.kdcore.small_jobs import (
    differing,
    parse_distillation,
    run_job,
    stop_at_question,
    untrained,
    weights,
)

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
    return untrained(tmp_path_factory.mktemp("teacher"), description)


def parse(**changes: Any) -> DistillJob:
    return parse_distillation(SPEC | changes)


def manifest_spec(folder: Path) -> dict[str, Any]:
    """Give the job in `folder` as its manifest tells it."""
    manifest: dict[str, Any] = json.loads((folder / "artifacts" / "manifest.json").read_text())
    spec: dict[str, Any] = manifest["spec"]
    return spec


def test_named_layers_of_a_torchvision_student_teach_it(
    tmp_path: Path, colours: ArrayDataset, teacher: TeacherInput
) -> None:
    run_job(tmp_path, colours, [teacher], parse(method=NAMED))

    assert manifest_spec(tmp_path)["method"]["layers"] == NAMED["layers"]
    plain = build_network(describe_network(parse(), colours), device="meta").state_dict()
    assert weights(tmp_path).keys() == plain.keys()


def test_layers_that_were_left_out_are_in_the_manifest_whose_spec_goes_on_with_the_job(
    tmp_path: Path, colours: ArrayDataset, teacher: TeacherInput
) -> None:
    left_out = parse(method={"name": "fitnet"})
    whole, halved = tmp_path / "whole", tmp_path / "halved"
    events: list[RunEvent] = []
    run_job(whole, colours, [teacher], left_out, events=events)
    resolved = manifest_spec(whole)
    (told,) = (event for event in events if isinstance(event, SpecResolved))
    assert told.spec.model_dump(mode="json") == resolved

    # Both have maps of 16x16 and 8x8; the earlier of the two is the hint.
    assert resolved["method"]["layers"] == [
        {"student": "features.1", "teacher": "layer2", "adapter": "conv1x1"}
    ]
    assert [stage["stage"] for stage in resolved["training"]["stages"]] == ["hint", "training"]

    with pytest.raises(Interrupted):
        run_job(halved, colours, [teacher], left_out, should_stop=stop_at_question(2))
    later: list[RunEvent] = []
    run_job(halved, colours, [teacher], parse_distillation(resolved), events=later)
    assert not any(isinstance(event, SpecResolved) for event in later)
    assert manifest_spec(halved) == resolved
    assert differing(weights(whole), weights(halved)) == []


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
    spec = parse(method={"name": "feature_matching", "layers": [layer]})
    with pytest.raises(IncompatibleInputs) as refused:
        run_job(tmp_path, colours, [teacher], spec, events=events)

    assert refused.value.code == code
    assert refused.value.pointer.startswith("/method/layers/0")
    assert not any(isinstance(event, Metrics) for event in events)
    assert list(tmp_path.iterdir()) == []
