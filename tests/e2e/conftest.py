"""The whole service as `potstill up` runs it, and what every story in this folder starts from."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kdclient import Potstill
from kdclient.resources import Job, Model
from kdclient.services import Services
from kdcore.spec import NetworkDescription, parse_network

Json = dict[str, Any]  # documents of any shape, hence Any

TEACHER_SPEC: Json = {
    "kind": "train",
    "name": "teacher",
    "dataset": "digits",
    "network": {"architecture": "mlp", "hidden": [48]},
    "training": {"num_epochs": 4, "optimizer": {"name": "adam", "learning_rate": 0.01}},
    "evaluation": {"every_epochs": 4},
}


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Potstill]:
    """A client of a service with one worker on a free port and an empty data folder."""
    environment = {
        name: value for name, value in os.environ.items() if not re.match("POTSTILL_", name)
    }
    environment["POTSTILL_TRAINING_THREADS"] = "1"
    environment["POTSTILL_PART_SIZE_BYTES"] = "5000"  # so that small files have several parts
    data_dir = tmp_path_factory.mktemp("potstill")
    with Services(data_dir, environment=environment) as services:
        connection = services.start()
        with Potstill(connection.url, connection.api_key) as client:
            client.wait_until_ready(client.dataset("digits"))
            yield client


@dataclass(frozen=True)
class Teacher:
    """A teacher that was trained here, and its files."""

    job: Job
    model: Model
    folder: Path
    description: NetworkDescription


@pytest.fixture(scope="session")
def teacher(client: Potstill, tmp_path_factory: pytest.TempPathFactory) -> Teacher:
    """Trained on the built-in digits, downloaded, and made a model."""
    job = client.wait_for_job(client.create_job(TEACHER_SPEC).id)
    folder = tmp_path_factory.mktemp("teacher")
    client.download_artifacts(job.id, folder)
    model = client.wait_until_ready(client.create_model_from_job("teacher", job_id=job.id))
    description = parse_network((folder / "network.json").read_bytes())
    return Teacher(job=job, model=model, folder=folder, description=description)
