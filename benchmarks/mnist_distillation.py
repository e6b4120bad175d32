"""Hinton's MNIST experiment through the service: teacher, student at T=20, the same net alone.

    python -m benchmarks.mnist_distillation --mnist FOLDER --seeds 0 1 2

FOLDER holds the four IDX files of MNIST (`train-images-idx3-ubyte.gz` and so on). They are zipped
and uploaded as a stranger would; the teacher is trained with `kind: train` and turned into a
model; for each seed one job trains the student and its control. The specs are
`recipes/mnist/*.json`. Everything runs on the embedded default, started and stopped here, with
`--workers` workers of `--threads` threads side by side. With `--teacher FOLDER` the artifacts of an
earlier teacher are uploaded instead of training one. Results go to `benchmarks/results/`.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measuring import machine, write_result
from kdclient import Potstill, children
from kdclient.resources import Model
from kdclient.services import Services
from kdcore.report import Report
from kdcore.spec import parse_network
from recipes.datasets import zip_files

ROOT = Path(__file__).parents[1]
STUDENTS = ("student", "student_cosine")
PAPER = {"teacher": 67, "student": 74, "control": 146}


def main() -> None:
    """Run the experiment, print the table and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=Path, required=True, help="folder of the four IDX files")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1, help="of each worker")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--teacher", type=Path, help="folder with network.json and .safetensors")
    parser.add_argument("--data-dir", type=Path, help="keep the service's data here")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        data_dir = options.data_dir or Path(scratch) / "data"
        environment = {
            **os.environ,
            "POTSTILL_TRAINING_THREADS": str(options.threads),
            "POTSTILL_CHECKPOINT_EVERY_SECONDS": "60",
        }
        with Services(data_dir, environment=environment) as services:
            connection = services.start()
            with (
                more_workers(options.workers - 1, environment, data_dir),
                Potstill(connection.url, api_key=connection.api_key) as client,
            ):
                files = options.mnist.glob("*-ubyte*")
                archive = zip_files(files, options.mnist, Path(scratch) / "mnist.zip")
                result = run_experiment(client, archive, options.seeds, options.teacher)
    print_table(result)
    stamp = datetime.now(UTC).date()
    write_result(
        options.out / f"mnist_distillation_{stamp}.json",
        {"machine": machine(options.threads), "seeds": options.seeds, "paper": PAPER, **result},
    )


@contextmanager
def more_workers(number: int, environment: dict[str, str], data_dir: Path) -> Iterator[None]:
    """Start workers beside the one that the services bring; none outlives this process."""
    own = environment | {"POTSTILL_DATA_DIR": str(data_dir.absolute())}
    workers: list[children.Child] = []
    try:
        for index in range(number):
            name = f"worker-{index + 2}"
            log_folder = data_dir.absolute() / "logs"
            workers.append(children.start(name, ["worker"], environment=own, log_folder=log_folder))
        yield
    finally:
        children.stop(workers, grace_seconds=30.0)


def run_experiment(
    client: Potstill, archive: Path, seeds: list[int], teacher: Path | None
) -> dict[str, Any]:
    """Upload, train or upload the teacher, distil once a seed."""
    upload = client.upload(archive, "dataset")
    dataset = client.wait_until_ready(
        client.create_dataset("mnist", upload_id=upload.id, format="idx")
    )
    model = (
        train_teacher(client, dataset.id) if teacher is None else upload_teacher(client, teacher)
    )
    started = time.perf_counter()
    job_ids = {
        (recipe, seed): submit(client, recipe, seed, dataset_id=dataset.id, model_id=model.id)
        for recipe in STUDENTS
        for seed in seeds
    }
    runs: dict[str, list[dict[str, Any]]] = {recipe: [] for recipe in STUDENTS}
    for (recipe, seed), job_id in job_ids.items():
        client.wait_for_job(job_id)
        runs[recipe].append({"seed": seed, **test_scores(client.report(job_id))})
        print(recipe, json.dumps(runs[recipe][-1]), flush=True)
    curves = client.metrics(job_ids["student", seeds[0]], name="test_accuracy")
    return {
        "runs": runs,
        "students_seconds": time.perf_counter() - started,
        "teacher_was_trained_here": teacher is None,
        "specs": {name: read_recipe(name) for name in ("teacher", *STUDENTS)},
        "test_accuracy_of_first_seed": [series.model_dump() for series in curves],
    }


def submit(client: Potstill, recipe: str, seed: int, *, dataset_id: str, model_id: str) -> str:
    """Post one student's job and give its id."""
    spec = read_recipe(recipe) | {"dataset": dataset_id, "teachers": [{"model": model_id}]}
    spec["training"]["seed"] = seed
    job_id = client.create_job(spec).id
    print(f"{job_id}: {spec['name']}, seed {seed}", flush=True)
    return job_id


def train_teacher(client: Potstill, dataset_id: str) -> Model:
    """Train the teacher by its recipe and make it a model."""
    job = client.create_job(read_recipe("teacher") | {"dataset": dataset_id})
    print(f"{job.id}: {job.name}", flush=True)
    client.wait_for_job(job.id)
    return client.wait_until_ready(
        client.create_model_from_job("mnist-teacher", job_id=job.id), timeout_seconds=600
    )


def upload_teacher(client: Potstill, folder: Path) -> Model:
    """Upload a teacher that was trained before, as a stranger would."""
    description = parse_network((folder / "network.json").read_bytes())
    upload = client.upload(folder / "network.safetensors", "checkpoint")
    model = client.create_model(
        "mnist-teacher",
        upload_id=upload.id,
        architecture=description.architecture,
        image_input=description.input,
        class_names=description.class_names,
    )
    return client.wait_until_ready(model)


def read_recipe(name: str) -> dict[str, Any]:
    """Read one of the specs of `recipes/mnist`."""
    spec: dict[str, Any] = json.loads((ROOT / "recipes" / "mnist" / f"{name}.json").read_text())
    return spec


def test_scores(report: Report) -> dict[str, Any]:
    """Errors and cross-entropy of every column on the 10,000 test digits."""
    return {
        run: {
            "num_errors": column.splits["test"].num_errors,
            "cross_entropy": column.splits["test"].cross_entropy,
        }
        for run, column in report.columns.items()
    }


def print_table(result: dict[str, Any]) -> None:
    """Print mean and spread of the errors beside the paper's."""
    for recipe, runs in result["runs"].items():
        print(recipe)
        for run, paper in PAPER.items():
            errors = [seed[run]["num_errors"] for seed in runs]
            print(
                f"  {run:8} {statistics.mean(errors):6.1f} errors "
                f"({min(errors)} to {max(errors)}); paper: {paper}"
            )
        fewer = [1 - seed["student"]["num_errors"] / seed["control"]["num_errors"] for seed in runs]
        print(
            f"  the distilled net makes {statistics.mean(fewer):.0%} fewer errors "
            f"({min(fewer):.0%} to {max(fewer):.0%})"
        )


if __name__ == "__main__":
    main()
