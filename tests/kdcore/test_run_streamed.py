"""A job whose images do not fit into memory trains as if they did."""

from pathlib import Path

import numpy as np
import pytest

from kdcore.data import ArrayDataset, ArraySplit
from kdcore.data.image_rows import ImageRows
from kdcore.progress import LogLine, RunEvent
from kdcore.spec import NetworkDescription
from tests.kdcore.small_jobs import (
    curves_csv,
    differing,
    parse_distillation,
    run_job,
    untrained,
    weights,
)

JOB = {
    "kind": "distill",
    "dataset": "digits",
    "teachers": [{"model": "teacher"}],
    "on_weak_teacher": "warn",
    "student": {"architecture": "mlp", "hidden": [16]},
    "method": {"name": "logit_kd"},
    "training": {"num_epochs": 2, "batch_size": 100},
    "transfer": {
        "augmentation": {"name": "crop", "padding": 1},
        "validation_fraction": 0.1,
        "exclude_classes": [3],
    },
    "calibration": {"rule": "match_prior", "images": "transfer"},
}


def in_shards(split: ArraySplit) -> ArraySplit:
    pixels = np.asarray(split.images_NHWC)
    return ArraySplit(ImageRows(np.array_split(pixels, 5)), split.labels_N)


def test_student_control_and_curves_are_the_same_to_the_last_bit(
    monkeypatch: pytest.MonkeyPatch, digits: ArrayDataset, tmp_path: Path
) -> None:
    description = NetworkDescription.model_validate(
        {
            "architecture": {"architecture": "mlp", "hidden": [32]},
            "input": digits.description.image_input,
            "num_classes": 10,
        }
    )
    teacher = untrained(tmp_path, description)
    spec = parse_distillation(JOB)
    sharded = ArrayDataset(
        digits.description, train=in_shards(digits.train), test=in_shards(digits.test)
    )
    told: dict[str, list[RunEvent]] = {"held": [], "streamed": []}
    run_job(tmp_path / "held", digits, [teacher], spec, events=told["held"])
    monkeypatch.setattr("kdcore.data.device_images.HELD_SHARE", 0.0)
    run_job(tmp_path / "streamed", sharded, [teacher], spec, events=told["streamed"])
    for name in ("student", "control"):
        held, streamed = (weights(tmp_path / each, name) for each in ("held", "streamed"))
        assert differing(held, streamed) == []
    assert curves_csv(tmp_path / "held") == curves_csv(tmp_path / "streamed")
    for each, words in (("held", "images held in memory"), ("streamed", "images read as needed")):
        lines = [event.message for event in told[each] if isinstance(event, LogLine)]
        assert sum(words in line for line in lines) == 2  # student and control
