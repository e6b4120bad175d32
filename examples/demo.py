"""The main job end to end on real data, through HTTP alone: `make demo`.

Starts Potstill on this machine, trains a teacher on handwritten digits, takes it away and brings
it back as a stranger would, distils a student of less than a tenth of its size from few images,
and checks everything that comes out. Numbers are what this machine measures; nothing is staged.

N images, C channels, H height, W width, K classes.
"""

import argparse
import io
import json
import os
import shutil
import signal
import sys
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from PIL import Image

from kdclient import Potstill, PotstillError, compare
from kdclient.cli.running import show_until_ended
from kdclient.cli.tables import print_comparison
from kdclient.jobs import require_success
from kdclient.resources import Dataset, Job, Model
from kdclient.services import Services, is_in_use
from kdcore.checkpoints import read_safetensors
from kdcore.data import ArrayDataset, builtin, load_dataset
from kdcore.export import load_network
from kdcore.report import Report
from kdcore.spec import NetworkDescription, parse_network

REPOSITORY = Path(__file__).resolve().parent.parent

FOLDERS = ("service", "teacher", "digits", "student")

TEACHER_JOB: dict[str, Any] = {
    "kind": "train",
    "name": "digits teacher",
    "dataset": "digits",
    "network": {
        "architecture": "cnn",
        "layers": [
            {"layer": "conv", "channels": 16},
            {"layer": "norm"},
            {"layer": "activation"},
            {"layer": "conv", "channels": 16},
            {"layer": "norm"},
            {"layer": "activation"},
            {"layer": "pool"},
            {"layer": "conv", "channels": 32},
            {"layer": "norm"},
            {"layer": "activation"},
            {"layer": "conv", "channels": 32},
            {"layer": "norm"},
            {"layer": "activation"},
            {"layer": "dropout", "probability": 0.3},
            {"layer": "linear", "features": 64},
            {"layer": "activation"},
        ],
    },
    "transfer": {"augmentation": {"name": "jitter", "pixels": 1}},
    "training": {
        "num_epochs": 20,
        "batch_size": 64,
        "optimizer": {"name": "adam", "learning_rate": 0.003},
    },
    "evaluation": {"every_epochs": 2},
}

# The student gets a tenth of the images; the teacher has seen them all. What it knows from the
# rest is what it can pass on, and the control cannot get it anywhere.
STUDENT_JOB: dict[str, Any] = {
    "kind": "distill",
    "name": "digits student",
    "student": {
        "architecture": "cnn",
        "layers": [
            {"layer": "conv", "channels": 8},
            {"layer": "norm"},
            {"layer": "activation"},
            {"layer": "conv", "channels": 8},
            {"layer": "norm"},
            {"layer": "activation"},
            {"layer": "pool"},
            {"layer": "conv", "channels": 16},
            {"layer": "norm"},
            {"layer": "activation"},
        ],
    },
    "method": {"name": "logit_kd", "temperature": 8, "ce_weight": 0.1, "kd_weight": 0.9},
    "transfer": {"fraction": 0.1},
    "training": {
        "num_epochs": 80,
        "batch_size": 32,
        "optimizer": {"name": "adam", "learning_rate": 0.003},
    },
    "control": True,
    "evaluation": {"every_epochs": 8},
}


class DemoFailed(Exception):
    """Something is not as promised."""


def main() -> int:
    """Run the demo on what needs no server; 0 if everything is as promised."""
    return run_command(run, name="demo")


def run_command(run: Callable[..., None], *, name: str) -> int:
    """Read the command line, run a demo in a folder of its name, and give the exit code."""
    parser = argparse.ArgumentParser(description="The main job end to end on real data.")
    parser.add_argument("--data-dir", type=Path, default=REPOSITORY / "potstill-data" / name)
    parser.add_argument("--json", type=Path, help="write a summary to this file")
    options = parser.parse_args()
    # Leave by an exception, so that the services are stopped on the way out.
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGHUP, _end)
    try:
        run(options.data_dir, summary=options.json)
    except KeyboardInterrupt:
        print("\nInterrupted; everything is stopped.", file=sys.stderr)
        return 130
    except (PotstillError, DemoFailed) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0


def run(
    data_dir: Path,
    *,
    summary: Path | None,
    environment: Mapping[str, str] = os.environ,
    parts: str = "SQLite, a broker without a server, a local folder",
) -> None:
    """Do everything in `data_dir`; what an earlier demo left there is deleted first."""
    started = time.monotonic()
    require_free(data_dir)
    for name in FOLDERS:
        shutil.rmtree(data_dir / name, ignore_errors=True)
    say(f"Starting API and worker: {parts}")
    with Services(data_dir / "service", environment=environment) as services:
        connection = services.start()
        note(f"{connection.url}, logs in {services.log_folder}")
        with Potstill(connection.url, connection.api_key) as client:
            report = tell_the_story(client, data_dir)
        say("Stopping")
    seconds = time.monotonic() - started
    note(f"done in {seconds:.0f} seconds")
    if summary is not None:
        write_summary(summary, report, seconds=seconds)


def require_free(data_dir: Path) -> None:
    """Raise DemoFailed if another demo runs in this folder."""
    if is_in_use(data_dir / "service"):
        raise DemoFailed(f"A demo runs in {data_dir}; wait for it, or choose another --data-dir.")


def tell_the_story(client: Potstill, folder: Path) -> Report:
    """Go through every step of the main job, and give the student's report."""
    say("Training a teacher on scikit-learn's handwritten digits")
    client.wait_until_ready(client.dataset("digits"))
    teacher_job = train(client, TEACHER_JOB)
    client.download_artifacts(teacher_job.id, folder / "teacher")
    note(f"downloaded to {folder / 'teacher'}, every sha256 as the manifest says")

    say("Bringing the teacher back as a stranger would: as safetensors, and as .pth")
    teacher = bring_back(client, folder / "teacher")

    say("Bringing a dataset: a zip of PNG images in class folders")
    digits = load_digits(folder / "digits")
    zip_path = write_zip(digits, folder / "digits.zip")
    dataset = bring_dataset(client, zip_path)

    say("Distilling a student, and training the same network without the teacher")
    teachers = [{"model": teacher.id}]
    job = train(client, {**STUDENT_JOB, "dataset": dataset.id, "teachers": teachers})
    report = client.report(job.id)
    print_comparison(report)
    check_size(report)

    say("Downloading all files, and checking that they are what the report says")
    manifest = client.download_artifacts(job.id, folder / "student")
    note(f"{len(manifest.files) + 1} files, every sha256 as the manifest says")
    check_accuracy(report, folder / "student", zip_path)
    return report


def train(client: Potstill, spec: dict[str, Any]) -> Job:
    """Run a job to its end, with a progress bar."""
    job = client.create_job(spec)
    return require_success(show_until_ended(client, job.id))


def bring_back(client: Potstill, folder: Path) -> Model:
    """Upload the teacher's weights in two formats, and check that both arrive as the same."""
    description = parse_network((folder / "network.json").read_text(encoding="utf-8"))
    tensors, _ = read_safetensors(folder / "network.safetensors")
    torch.save(tensors, folder / "network.pth")
    models = [
        upload_teacher(client, folder / name, description)
        for name in ("network.safetensors", "network.pth")
    ]
    if len({model.sha256 for model in models}) != 1:
        raise DemoFailed("The same weights arrived differently by the two formats.")
    note(f"both are the same weights to the service: sha256 {str(models[0].sha256)[:16]}…")
    return models[1]


def upload_teacher(client: Potstill, path: Path, description: NetworkDescription) -> Model:
    """Upload a checkpoint and have it checked against its architecture."""
    upload = client.upload(path, "checkpoint")
    model = client.create_model(
        path.name,
        upload_id=upload.id,
        architecture=description.architecture,
        image_input=description.input,
        class_names=description.class_names,
    )
    model = client.wait_until_ready(model)
    note(f"{path.name}: {model.format}, {model.parameters:,} parameters, {model.status}")
    return model


def load_digits(folder: Path) -> ArrayDataset:
    """The digits as the service has them, so that no test image of ours trained the teacher."""
    builtin("digits", folder)
    return load_dataset(folder)


def write_zip(dataset: ArrayDataset, path: Path) -> Path:
    """Write every image as `<split>/<class>/<number>.png`."""
    class_names = dataset.description.class_names
    with zipfile.ZipFile(path, "w") as archive:
        for name, split in (("train", dataset.train), ("test", dataset.test)):
            for number, (image_HWC, label) in enumerate(
                zip(split.images_NHWC, split.labels_N, strict=True)
            ):
                png = io.BytesIO()
                Image.fromarray(np.asarray(image_HWC)[..., 0]).save(png, format="PNG")
                archive.writestr(f"{name}/{class_names[label]}/{number:04}.png", png.getvalue())
    return path


def read_test_images(path: Path) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Decode the zip's test split: images_NCHW in [0, 1], and labels_N."""
    images, labels = [], []
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            split, class_name, _ = name.split("/")
            if split == "test":
                with archive.open(name) as file:
                    images.append(np.asarray(Image.open(file), dtype=np.float32)[None] / 255)
                labels.append(int(class_name))
    return np.stack(images), np.array(labels, dtype=np.int64)


def bring_dataset(client: Potstill, path: Path) -> Dataset:
    """Upload the zip and have it read."""
    upload = client.upload(path, "dataset")
    dataset = client.create_dataset(path.name, upload_id=upload.id, format="image_folder_zip")
    dataset = client.wait_until_ready(dataset)
    counts = ", ".join(
        f"{split.num_examples} {name}" for name, split in (dataset.splits or {}).items()
    )
    note(
        f"{path.name}: {counts} images, {len(dataset.class_names or ())} classes, {dataset.status}"
    )
    return dataset


def check_size(report: Report) -> None:
    """Check that the student has at most a tenth of the teacher's parameters."""
    teacher, student = report.columns["teacher"], report.columns["student"]
    if student.parameters * 10 > teacher.parameters:
        raise DemoFailed("The student is larger than a tenth of its teacher.")
    note(f"the student has {student.parameters / teacher.parameters:.0%} of the parameters")


def check_accuracy(report: Report, folder: Path, zip_path: Path) -> None:
    """Score the rebuilt student and its ONNX graph on our own images, and compare."""
    images_NCHW, labels_N = read_test_images(zip_path)
    network = load_network(folder / "student.json")
    with torch.inference_mode():
        rebuilt_NK = network(torch.from_numpy(images_NCHW)).numpy()
    session = onnxruntime.InferenceSession(folder / "student.onnx")
    (onnx_NK,) = session.run(None, {session.get_inputs()[0].name: images_NCHW})
    stated = report.columns["student"].splits["test"]
    for what, logits_NK in (("student.safetensors", rebuilt_NK), ("student.onnx", onnx_NK)):
        num_errors = int(np.count_nonzero(logits_NK.argmax(axis=1) != labels_N))
        accuracy = (len(labels_N) - num_errors) / len(labels_N)
        note(f"{what}: {num_errors} errors in {len(labels_N)} images, accuracy {accuracy:.4%}")
        if (num_errors, accuracy) != (stated.num_errors, stated.accuracy):
            raise DemoFailed(f"{what} does not score the {stated.accuracy:.4%} of the report.")
    note("exactly what the report states")


def write_summary(path: Path, report: Report, *, seconds: float) -> None:
    """Write what the demo measured: time, table, and the whole report."""
    table = compare(report)
    summary = {
        "seconds": round(seconds, 1),
        "num_cores": len(os.sched_getaffinity(0)),
        "table": {"title": table.title, "header": table.header, "rows": table.rows},
        "markdown": table.as_markdown(),
        "report": report.model_dump(mode="json"),
    }
    path.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def say(text: str) -> None:
    """Print the heading of a step."""
    print(f"\n{text}", flush=True)


def note(text: str) -> None:
    """Print a line below a heading."""
    print(f"  {text}", flush=True)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
