"""Distil a student on handwritten digits with kdcore alone: no service, no network access.

Run it with a folder to write to, or without one for a temporary folder. Takes under a minute.
"""

import sys
import tempfile
from pathlib import Path

import torch

from kdcore.data import builtin, load_dataset
from kdcore.export import load_network, verify_manifest
from kdcore.run import TeacherInput, run
from kdcore.spec import (
    Adam,
    DistillJob,
    LogitKd,
    Mlp,
    TeacherReference,
    TrainingSpec,
    TrainJob,
    TransferSpec,
    parse_network,
)


def main(folder: Path) -> None:
    """Train a teacher on all images; distil a student that sees a fifth of them."""
    builtin("digits", folder / "digits")
    digits = load_dataset(folder / "digits")

    spec = TrainJob(
        dataset="digits",
        network=Mlp(hidden=(256, 256), dropout=0.3),
        training=TrainingSpec(num_epochs=40, batch_size=64),
    )
    # One CPU thread is quickest for networks as small as these.
    run(spec, dataset=digits, folder=folder / "teacher", num_threads=1)
    made = folder / "teacher" / "artifacts"
    description = parse_network((made / "network.json").read_bytes())
    teacher = TeacherInput(description, made / "network.safetensors")

    job = DistillJob(
        dataset="digits",
        teachers=(TeacherReference(model="teacher"),),
        student=Mlp(hidden=(24, 24)),
        method=LogitKd(temperature=4.0),
        transfer=TransferSpec(fraction=0.2),
        training=TrainingSpec(num_epochs=100, batch_size=64, optimizer=Adam(learning_rate=0.01)),
    )
    result = run(job, dataset=digits, teachers=[teacher], folder=folder / "student", num_threads=1)

    for name, column in result.report.columns.items():
        scores = column.splits["test"]
        print(f"{name:8}{column.parameters:7,} parameters {scores.num_errors:4} errors", end=" ")
        print(f"of {scores.num_examples}")
    artifacts = folder / "student" / "artifacts"
    verify_manifest(artifacts)
    student = load_network(artifacts)
    image_HWC = torch.from_numpy(digits.test.images_NHWC[0].copy())
    logits_BC = student(image_HWC.permute(2, 0, 1)[None] / 255)
    print(
        f"The first test image is a {digits.test.labels_N[0]}; "
        f"the student says {int(logits_BC.argmax())}."
    )
    print(f"Open {artifacts / 'report.html'} for tables and curves.")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="potstill-")))
