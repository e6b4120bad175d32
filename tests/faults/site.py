"""A whole installation as in production, small and impatient: servers, API, workers, one job."""

import contextlib
import hashlib
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import obstore

from deploy.servers import Backends
from deploy.servers.ports import ReservedPort
from kdstore import keys, workspaces
from kdstore.db import make_engine, make_session_factory, transaction
from kdstore.metrics import Series
from migrations import upgrade
from tests.faults.link import Link
from tests.faults.programs import Program, on_small_disk
from tests.faults.waiting import wait_until
from tests.worker.jobs_on_digits import JobBook

LEASE_SECONDS = 5.0
_SETTINGS = {
    "POTSTILL_ENVIRONMENT": "test",
    "POTSTILL_DEVICE": "cpu",
    "POTSTILL_TRAINING_THREADS": "1",
    "POTSTILL_LEASE_SECONDS": str(LEASE_SECONDS),
    "POTSTILL_HEARTBEAT_SECONDS": "1",
    "POTSTILL_SWEEP_SECONDS": "0.5",
    "POTSTILL_REPUBLISH_SECONDS": "3",
    "POTSTILL_RETRY_SECONDS": "0.5",
    "POTSTILL_CHECKPOINT_EVERY_SECONDS": "0.2",
    "POTSTILL_STOP_GRACE_SECONDS": "60",
    "POTSTILL_PART_SIZE_BYTES": "65536",
}
_MUST_BE_EQUAL = ("student.safetensors", "control.safetensors", "metrics.csv")

# Two networks trained one after the other, under one thread and one seed: some seconds, so that a
# phase of it can be caught on a fast machine too.
JOB: dict[str, Any] = {
    "kind": "distill",
    "dataset": "digits",
    "student": {
        "architecture": "cnn",
        "layers": [
            {"layer": "conv", "channels": 32},
            {"layer": "activation", "name": "relu"},
            {"layer": "conv", "channels": 32},
            {"layer": "activation", "name": "relu"},
            {"layer": "pool", "kind": "global_average"},
        ],
    },
    "method": {"name": "self_distillation"},
    "training": {
        "num_epochs": 12,
        "batch_size": 64,
        "optimizer": {"name": "sgd", "learning_rate": 0.05},
        "seed": 3,
    },
    "evaluation": {"latency": False},
    "exports": ["safetensors"],
}


@dataclass(frozen=True)
class Trained:
    """What must be the same bit for bit, whatever happened on the way."""

    sha256: Mapping[str, str]
    """Of the weights of student and control, and of metrics.csv, as downloaded."""
    series: list[Series]


class Worker(Program):
    """A worker that reaches database and storage through links of its own."""

    def __init__(
        self, site: "Site", name: str, *, small_disk_bytes: int | None, environment: dict[str, str]
    ) -> None:
        self.name = name
        self.data_dir = site.folder / name
        self.database = Link(site.backends.postgres.port("postgres"))
        self.objects = Link(site.backends.s3.port("s3"))
        database_url = site.backends.postgres.url.replace(
            f":{site.backends.postgres.port('postgres')}/", f":{self.database.port}/"
        )
        super().__init__(
            "worker",
            ready="worker ready",
            log=site.folder / f"{name}.log",
            environment={
                **site.environment,
                "POTSTILL_DATA_DIR": str(self.data_dir),
                "POTSTILL_DATABASE_URL": database_url,
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.objects.port}",
                **environment,
            },
            inside=(
                on_small_disk(self.data_dir, size_bytes=small_disk_bytes)
                if small_disk_bytes is not None
                else ()
            ),
        )

    def close(self) -> None:
        """End it at once, and its links."""
        self.database.close()
        self.objects.close()
        self.kill()


class Site:
    """Servers, API and workers in one folder; a context manager that leaves none behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.backends = Backends(folder / "servers")
        self.workers: list[Worker] = []
        self._api_port = ReservedPort()
        self._num_workers = 0
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.callback(self._api_port.close)
            stack.enter_context(self.backends)
            engine = make_engine(self.backends.postgres.url)
            stack.callback(engine.dispose)
            upgrade(engine)
            sessions = make_session_factory(engine)
            with transaction(sessions) as session:
                workspace = workspaces.ensure(session, name="faults")
                key = keys.create(session, workspace_id=workspace.id, name="t", role="admin")
            self.token = key.token
            self.book = JobBook(sessions, workspace.id)
            self.http = stack.enter_context(self.client(self._api_port.number))
            self.start_api()
            stack.callback(self._end_api)
            stack.callback(self.end_workers)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    @property
    def environment(self) -> dict[str, str]:
        return {**_SETTINGS, **self.backends.environment}

    @property
    def api_port(self) -> int:
        return self._api_port.number

    def client(self, port: int) -> httpx.Client:
        """Make a client of the API, at its own port or at that of a link to it."""
        return httpx.Client(
            base_url=f"http://127.0.0.1:{port}/v1/",
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=60.0,
            trust_env=False,
        )

    def start_api(self) -> None:
        """Start the API, at the port where it always is, and wait for it."""
        self.api = Program(
            "api",
            ready='"listening"',
            log=self.folder / f"api-{os.urandom(3).hex()}.log",
            environment={
                **self.environment,
                "POTSTILL_DATA_DIR": str(self.folder / "api"),
                "POTSTILL_PORT": str(self.api_port),
            },
        )
        self.api.wait_until_ready()
        wait_until(self.answers, "the API answers")

    def _end_api(self) -> None:
        self.api.kill()

    def answers(self) -> bool:
        """Tell whether the API answers what it must ask the database for."""
        try:
            return self.http.get("jobs").status_code == 200
        except httpx.TransportError:
            return False

    def start_worker(self, *, small_disk_bytes: int | None = None, **environment: str) -> Worker:
        """Start one more worker, with these settings beside the others, until it takes jobs."""
        self._num_workers += 1
        worker = Worker(
            self,
            f"worker-{self._num_workers}",
            small_disk_bytes=small_disk_bytes,
            environment=environment,
        )
        self.workers.append(worker)
        worker.wait_until_ready()
        wait_until(self._has_digits, "the first worker has made the digits")
        return worker

    def _has_digits(self) -> bool:
        return bool(self.http.get("datasets/digits").json()["status"] == "ready")

    def remove_worker(self, worker: Worker) -> None:
        """End a worker at once."""
        worker.close()
        self.workers.remove(worker)

    def end_workers(self) -> None:
        """End every worker at once."""
        for worker in list(self.workers):
            self.remove_worker(worker)

    def put_in_order(self) -> None:
        """Undo what a test has done or broken: every server up, no job that runs or waits."""
        for server in self.backends.servers:
            server.thaw()
            server.start()
        for worker in self.workers:
            worker.send(signal.SIGCONT)
            worker.send_trainers(signal.SIGCONT)
        if not self.api.is_running:
            self.start_api()
        wait_until(self.answers, "the API answers")
        unfinished = [
            job["id"]
            for job in self.http.get("jobs").json()["items"]
            if job["status"] not in {"succeeded", "failed", "cancelled"}
        ]
        if unfinished:
            self.end_workers()
            for job_id in unfinished:
                self.http.post(f"jobs/{job_id}/cancel").raise_for_status()

    def submit(self, **changes: Any) -> str:
        """Submit the job, with other values in some fields; its id."""
        answer = self.http.post("jobs", json={**JOB, **changes})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def ask(self, job_id: str, what: str) -> None:
        """Cancel, pause or resume a job."""
        self.http.post(f"jobs/{job_id}/{what}").raise_for_status()

    def status(self, job_id: str) -> str:
        return self.book.read(job_id).status

    def is_settled(self, job_id: str) -> bool:
        """Tell whether a job has ended or is paused."""
        return self.status(job_id) in {"succeeded", "failed", "cancelled", "paused"}

    def wait_until_settled(self, job_id: str) -> str:
        wait_until(lambda: self.is_settled(job_id), f"job {job_id} has ended or is paused")
        return self.status(job_id)

    def stored_sha256(self, object_key: str) -> str:
        """Digest an object in storage."""
        data = obstore.get(self.backends.s3.bucket(), f"objects/{object_key}").bytes()
        return hashlib.sha256(bytes(data)).hexdigest()

    def trained(self, job_id: str) -> Trained:
        """Download what the job made, each file whole and as its digest says."""

        found = {}
        for artifact in self.book.artifacts(job_id):
            data = self.http.get(
                f"jobs/{job_id}/artifacts/{artifact.name}", follow_redirects=True
            ).content
            assert len(data) == artifact.size_bytes, artifact.name
            assert hashlib.sha256(data).hexdigest() == artifact.sha256, artifact.name
            found[artifact.name] = artifact.sha256
        return Trained({name: found[name] for name in _MUST_BE_EQUAL}, self.book.series(job_id))
