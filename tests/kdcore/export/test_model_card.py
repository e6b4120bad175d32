"""The model card: results, use, and no markup from names."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from kdcore.export import export_network, write_model_card
from kdcore.models import Classifier
from kdcore.report import Report
from kdcore.spec import DistillJob, NetworkDescription, TrainJob

Make = Callable[[NetworkDescription], Classifier]
Sample = Callable[[NetworkDescription], torch.Tensor]


@pytest.fixture
def text(report: Report, distill_job: DistillJob, mlp: NetworkDescription, tmp_path: Path) -> str:
    path = write_model_card(tmp_path / "model_card.md", report, spec=distill_job, description=mlp)
    return path.read_text(encoding="utf-8")


def test_card_holds_the_four_columns(text: str) -> None:
    assert "| test split | teacher | student | control | difference |" in text
    assert "| Errors | 4 of 100 | 10 of 100 | 20 of 100 | −10 |" in text


def test_hostile_names_stay_text(text: str, hostile: str) -> None:
    prose, _, spec = text.rpartition("```json")

    assert hostile not in prose
    assert "<script" not in prose
    assert hostile.replace('"', '\\"') in spec


def test_front_matter_is_ours_alone(text: str) -> None:
    front = text.split("---")[1]

    assert front.splitlines() == [
        "",
        "pipeline_tag: image-classification",
        "library_name: pytorch",
        "tags:",
        "- image-classification",
        "- knowledge-distillation",
    ]


def test_code_for_every_export_runs_as_it_stands(
    text: str,
    make_classifier: Make,
    mlp: NetworkDescription,
    sample_images: Sample,
    distill_job: DistillJob,
    tmp_path: Path,
) -> None:
    export_network(
        make_classifier(mlp),
        mlp,
        run="student",
        formats=distill_job.exports,
        folder=tmp_path,
        sample_images_BCHW=sample_images(mlp),
    )
    blocks = [block.partition("```")[0] for block in text.split("```python\n")[1:]]
    program = "\n".join(f"{block}\nprint(tuple(logits.shape))" for block in blocks)

    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert answer.stdout.splitlines() == ["(1, 4)"] * 3


def test_only_exports_that_exist_are_explained(
    report: Report, distill_job: DistillJob, mlp: NetworkDescription, tmp_path: Path
) -> None:
    job = distill_job.model_copy(update={"exports": ("safetensors",)})

    text = write_model_card(tmp_path / "c.md", report, spec=job, description=mlp).read_text()

    assert "load_network" in text
    assert "onnxruntime" not in text


def test_card_of_a_teacher_speaks_of_no_teacher(
    report: Report, train_job: TrainJob, mlp: NetworkDescription, tmp_path: Path
) -> None:
    alone = report.model_copy(
        update={
            "kind": "train",
            "columns": {"network": report.columns["student"]},
            "difference": None,
        }
    )

    text = write_model_card(tmp_path / "c.md", alone, spec=train_job, description=mlp).read_text()

    assert text.count("network.onnx") == 2
    assert "knowledge-distillation" not in text
    assert "control" not in text
