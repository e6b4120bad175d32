"""`model_card.md`: what the network is, what it scores, how to use it, how it was made."""

import json
from collections.abc import Sequence
from pathlib import Path

from kdcore.export.atomic import write_text
from kdcore.export.calibration_table import calibration_note, calibration_table
from kdcore.export.markdown import code_block, markdown_table, markdown_text
from kdcore.export.report_rows import (
    ReportRow,
    columns,
    cost_rows,
    headline,
    latency_note,
    main_run,
    score_rows,
)
from kdcore.report import Report
from kdcore.spec import DistillJob, ExportFormat, NetworkDescription, TrainJob

_FRONT = """---
pipeline_tag: image-classification
library_name: pytorch
tags:
- image-classification
{tags}---"""
_MAX_LISTED_CLASSES = 100
_USES: dict[ExportFormat, tuple[str, str]] = {
    "safetensors": (
        "In Python with `kdcore`, from `{run}.json` and `{run}.safetensors`:",
        """import torch
from kdcore.export import load_network

classifier = load_network("{run}.json")
logits = classifier(torch.zeros(1, {channels}, {height}, {width}))""",
    ),
    "onnx": (
        "In onnxruntime, without PyTorch, from `{run}.onnx`:",
        """import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("{run}.onnx")
images = np.zeros((1, {channels}, {height}, {width}), dtype=np.float32)
(logits,) = session.run(["logits"], {{"images": images}})""",
    ),
    "torch_export": (
        "In PyTorch alone, from `{run}.pt2`:",
        """import torch

program = torch.export.load("{run}.pt2").module()
logits = program(torch.zeros(1, {channels}, {height}, {width}))""",
    ),
}


def write_model_card(
    path: Path,
    report: Report,
    *,
    spec: TrainJob | DistillJob,
    description: NetworkDescription,
) -> Path:
    """Write the card; gives `path`. Names that come from people cannot become markup."""
    run = main_run(report)
    splits = tuple(report.columns[run].splits)
    parts = [
        _front(report),
        f"# {markdown_text(spec.name) or f'A {run} trained with Potstill'}",
        *(headline(report, split) for split in splits),
        "## Results",
        *(_table(report, score_rows(report, split), f"{split} split") for split in splits),
        _table(report, cost_rows(report), "Size and cost"),
        f"{latency_note(report)} FLOPs count 2 per multiply-add.".strip(),
        *_calibration(report, splits),
        "## Input and output",
        _input(description),
        "## Use",
        *_uses(spec, description, run),
        "## How it was made",
        _training(report, spec),
        "## What is not known",
        _LIMITS,
    ]
    return write_text(path, "\n\n".join(parts) + "\n")


_LIMITS = (
    "The scores hold for images like those of the dataset's own test split, and for one seed. "
    "Nothing was measured on other data, on images that were changed on purpose, or of how the "
    "errors fall on groups of people. Look at `report.html` for the classes that are confused."
)


def _front(report: Report) -> str:
    tags = "- knowledge-distillation\n" if report.kind == "distill" else ""
    return _FRONT.format(tags=tags)


def _table(report: Report, rows: Sequence[ReportRow], caption: str) -> str:
    has_difference = report.difference is not None
    heads = [caption, *columns(report), *["difference"] * has_difference]
    body = [[row.measure, *row.cells, *[row.difference] * has_difference] for row in rows]
    return markdown_table(heads, body)


def _calibration(report: Report, splits: Sequence[str]) -> list[str]:
    calibration = report.calibration
    if calibration is None:
        return []
    tables = [calibration_table(report, calibration, split) for split in splits]
    texts = [
        markdown_table(
            [markdown_text(head) for head in table.heads],
            [[markdown_text(cell) for cell in row] for row in table.rows],
        )
        for table in tables
    ]
    return ["## Calibration of class biases", calibration_note(calibration), *texts]


def _input(description: NetworkDescription) -> str:
    channels, height, width = description.input.shape_CHW
    text = (
        f"Images as float32, batch × {channels} × {height} × {width}, values in [0, 1] (bytes "
        "divided by 255); the network normalises them itself. Output: "
        f"{description.num_classes} logits an image; softmax makes them probabilities."
    )
    names = description.class_names[:_MAX_LISTED_CLASSES]
    if not names:
        return text
    listed = ", ".join(f"{label}: {markdown_text(name)}" for label, name in enumerate(names))
    more = description.num_classes - len(names)
    return f"{text}\n\nClasses: {listed}{f', and {more} more' if more else ''}."


def _uses(spec: TrainJob | DistillJob, description: NetworkDescription, run: str) -> list[str]:
    channels, height, width = description.input.shape_CHW
    values = {"run": run, "channels": channels, "height": height, "width": width}
    return [
        f"{intro.format(**values)}\n\n{code_block(code.format(**values), language='python')}"
        for intro, code in (_USES[name] for name in spec.exports)
    ]


def _training(report: Report, spec: TrainJob | DistillJob) -> str:
    environment = report.environment
    text = f"Trained on {environment.device} ({markdown_text(environment.device_name)}) "
    text += f"in {environment.precision}, seed {environment.seed}; the weights of the last epoch. "
    text += f"Dataset: {markdown_text(spec.dataset)}"
    if spec.transfer.dataset is not None:
        text += f" for the evaluation, {markdown_text(spec.transfer.dataset)} for training"
    text += ". "
    if isinstance(spec, DistillJob):
        text += f"Method: `{spec.method.name}`. "
    if report.difference is not None:
        text += "The control is the same network from the same initial weights, with the same "
        text += "data order and budget, without the teacher. "
    text += "`manifest.json` holds versions, revision and the sha256 of teacher, dataset and files."
    document = json.dumps(spec.model_dump(mode="json"), indent=2, ensure_ascii=False)
    return f"{text}\n\n{code_block(document, language='json')}"
