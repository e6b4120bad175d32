"""The real app over HTTP on both databases, without a worker: rows come from kdstore."""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
import pytest
import uvicorn
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI

from api.__main__ import Server, bind
from api.main import create_app
from api.state import AppState, StreamPace
from kdcore.catalog.layer_shapes import layer_shapes
from kdcore.progress import Progress
from kdcore.spec import NetworkDescription, parse_job, parse_network
from kdstore import datasets, jobs, keys, models, uploads, validation, workspaces
from kdstore.artifacts import NewArtifact, artifact_key
from kdstore.datasets import ReadyDataset
from kdstore.db import SessionFactory, transaction
from kdstore.jobs import Fence, JobError
from kdstore.models import ReadyModel
from kdstore.objects import ObjectStore
from kdstore.settings import Settings
from kdstore.tables import Role, UploadPurpose
from kdstore.upload_bytes import Assembly, StoredBlob, blob_key

Json = dict[str, Any]  # documents of any shape, hence Any

ADDRESS = "http://127.0.0.1:8000"

TEACHER: Json = {
    "architecture": {"architecture": "mlp", "hidden": [64, 64]},
    "input": {"channels": 1, "height": 8, "width": 8},
    "num_classes": 3,
    "class_names": ["a", "b", "c"],
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Small parts, so that a few bytes make an upload of several."""
    return settings.model_copy(update={"part_size_bytes": 4, "max_upload_bytes": 1000})


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    """The app as `python -m api` makes it, with streams that look often."""
    return create_app(settings, pace=StreamPace(poll_seconds=0.02, heartbeat_seconds=0.05))


@pytest.fixture
def portal(app: FastAPI) -> Iterator[BlockingPortal]:
    """An event loop in which the app has started."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(app.router.lifespan_context(app)),
    ):
        yield portal


@pytest.fixture
def state(app: FastAPI, portal: BlockingPortal) -> AppState:
    """What the running app shares among its requests."""
    running: AppState = app.state.potstill
    return running


class Client:
    """Sends requests to the app within this process, with one key or none."""

    def __init__(self, portal: BlockingPortal, app: FastAPI, token: str | None) -> None:
        self._portal = portal
        self._app = app
        self.token = token

    def request(self, method: str, url: str, **options: Any) -> httpx.Response:
        """Send one request; `options` are httpx's, of any type."""
        return self._portal.call(partial(self._send, method, url, **options))

    def get(self, url: str, **options: Any) -> httpx.Response:
        return self.request("GET", url, **options)

    def post(self, url: str, **options: Any) -> httpx.Response:
        return self.request("POST", url, **options)

    def put(self, url: str, **options: Any) -> httpx.Response:
        return self.request("PUT", url, **options)

    def delete(self, url: str, **options: Any) -> httpx.Response:
        return self.request("DELETE", url, **options)

    async def _send(self, method: str, url: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        transport = httpx.ASGITransport(app=self._app)
        async with httpx.AsyncClient(
            transport=transport, base_url=ADDRESS, headers=headers
        ) as client:
            return await client.request(method, url, **options)


MakeToken = Callable[..., str]
MakeClient = Callable[..., Client]


@pytest.fixture
def make_token(session_factory: SessionFactory) -> MakeToken:
    """Make keys of any workspace and role."""

    def make(*, workspace: str = "ours", role: Role = "member") -> str:
        with transaction(session_factory) as session:
            owner = workspaces.ensure(session, name=workspace)
            return keys.create(session, workspace_id=owner.id, name=role, role=role).token

    return make


@pytest.fixture
def make_client(app: FastAPI, portal: BlockingPortal, make_token: MakeToken) -> MakeClient:
    """Make clients of any workspace and role."""

    def make(*, workspace: str = "ours", role: Role = "member") -> Client:
        return Client(portal, app, make_token(workspace=workspace, role=role))

    return make


@pytest.fixture
def client(make_client: MakeClient) -> Client:
    """A member of the workspace `ours`."""
    return make_client()


@pytest.fixture
def stranger(make_client: MakeClient) -> Client:
    """An admin of another workspace."""
    return make_client(workspace="theirs", role="admin")


@pytest.fixture
def anonymous(app: FastAPI, portal: BlockingPortal) -> Client:
    """Somebody without a key."""
    return Client(portal, app, None)


@pytest.fixture
def live_url(app: FastAPI) -> Iterator[str]:
    """The app behind a real server, for what needs a connection: streams and broken bodies."""
    listener = bind("127.0.0.1", 0)
    config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=5)
    server = Server(config, app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.005)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    app.state.potstill.stopping.set()
    thread.join()
    listener.close()


@pytest.fixture
def messages(settings: Settings) -> Callable[[], list[tuple[str, str]]]:
    """Read which tasks were published, with the id that each is about."""
    folder = settings.data_dir / "queue" / "messages"

    def read() -> list[tuple[str, str]]:
        found = []
        for path in sorted(folder.iterdir()):
            message = json.loads(path.read_text())
            [subject_id], _, _ = json.loads(base64.b64decode(message["body"]))
            found.append((message["headers"]["task"], subject_id))
        return found

    return read


@dataclass(frozen=True)
class Rows:
    """Puts rows into the workspace `ours` as a worker would, and objects beside them."""

    session_factory: SessionFactory
    objects: ObjectStore

    @property
    def workspace_id(self) -> str:
        with transaction(self.session_factory) as session:
            return workspaces.ensure(session, name="ours").id

    def stored_upload(self, *, purpose: UploadPurpose, data: bytes = b"bytes") -> str:
        """An upload that is complete."""
        digest = hashlib.sha256(data).hexdigest()
        workspace_id = self.workspace_id
        self.objects.put_bytes(blob_key(digest), data)
        with transaction(self.session_factory) as session:
            upload = uploads.create(
                session,
                workspace_id=workspace_id,
                purpose=purpose,
                filename="file",
                size_bytes=len(data),
                sha256=digest,
                part_size_bytes=1000,
                max_bytes=10_000,
                expiry_seconds=60,
            )
            assembly = Assembly(upload.id, workspace_id, len(data), digest, ())
            uploads.mark_stored(session, assembly, StoredBlob(blob_key(digest), digest, len(data)))
        return upload.id

    def ready_dataset(self, *, channels: int = 1, num_classes: int = 3) -> str:
        """A dataset of 8x8 images, 30 a class to train on."""
        upload_id = self.stored_upload(purpose="dataset")
        workspace_id = self.workspace_id
        with transaction(self.session_factory) as session:
            dataset = datasets.create_from_upload(
                session,
                workspace_id=workspace_id,
                name="letters",
                upload_id=upload_id,
                source_format="npz",
            )
        with transaction(self.session_factory) as session:
            fence = validation.claim(session, "dataset", dataset.id, lease_seconds=30)
            assert fence is not None
            ready = ReadyDataset(
                description=dataset_description(channels=channels, num_classes=num_classes),
                files=[],
                sha256="d" * 64,
            )
            datasets.mark_ready(session, fence, ready)
        return dataset.id

    def validating_model(self, *, upload_id: str | None = None) -> str:
        """A model that no worker has looked at."""
        upload_id = upload_id or self.stored_upload(purpose="checkpoint")
        workspace_id = self.workspace_id
        with transaction(self.session_factory) as session:
            return models.create_from_upload(
                session,
                workspace_id=workspace_id,
                name="teacher",
                upload_id=upload_id,
                requested={
                    "architecture": TEACHER["architecture"],
                    "input": TEACHER["input"],
                    "class_names": [],
                },
            ).id

    def ready_model(self, **changes: Any) -> str:
        """A teacher for `ready_dataset`; `changes` go into its description."""
        model_id = self.validating_model()
        self.make_ready(model_id, **changes)
        return model_id

    def make_ready(self, model_id: str, **changes: Any) -> None:
        """A worker has validated a model."""
        description = parse_network(TEACHER | changes)
        with transaction(self.session_factory) as session:
            fence = validation.claim(session, "model", model_id, lease_seconds=30)
            assert fence is not None
            models.mark_ready(session, fence, _ready_model(description))

    def rejected_model(self) -> str:
        """A model whose checkpoint was refused."""
        model_id = self.validating_model()
        with transaction(self.session_factory) as session:
            fence = validation.claim(session, "model", model_id, lease_seconds=30)
            assert fence is not None
            refusal = validation.Rejection("pickle_not_allowed", "Save it as safetensors.", ("x",))
            validation.reject(session, fence, refusal)
        return model_id

    def job(self, *, dataset: str = "digits", name: str = "", tags: Json | None = None) -> str:
        """A queued job of kind train."""
        workspace_id = self.workspace_id
        spec = parse_job(
            {
                "kind": "train",
                "name": name,
                "dataset": dataset,
                "network": {"architecture": "mlp", "hidden": [8]},
                "training": {"num_epochs": 10},
                "tags": tags or {},
            }
        )
        with transaction(self.session_factory) as session:
            return jobs.create(session, workspace_id=workspace_id, spec=spec).id

    def claim(self, job_id: str) -> Fence:
        """An attempt of a worker at a queued job."""
        with transaction(self.session_factory) as session:
            claim = jobs.claim(session, job_id, worker="worker-1", device="cpu", lease_seconds=60)
        assert claim is not None
        return claim.fence

    def progress(self, fence: Fence, *, fraction: float) -> None:
        """The worker says how far it is."""
        with transaction(self.session_factory) as session:
            jobs.set_progress(session, fence, _progress(fraction))

    def finish(self, fence: Fence, *, files: dict[str, bytes] | None = None) -> None:
        """The job succeeds with a report and artifacts."""
        artifacts = []
        for name, data in (files or {}).items():
            key = artifact_key(job_id=fence.job_id, attempt=fence.attempt, name=name)
            self.objects.put_bytes(key, data)
            digest = hashlib.sha256(data).hexdigest()
            artifacts.append(
                NewArtifact(
                    name=name,
                    object_key=key,
                    size_bytes=len(data),
                    sha256=digest,
                    media_type="application/octet-stream",
                )
            )
        with transaction(self.session_factory) as session:
            jobs.heartbeat(session, fence, lease_seconds=60, trained_seconds=5.0)
            jobs.finish(
                session, fence, result={"accuracy": 0.5}, report=REPORT, artifacts=artifacts
            )

    def fail(self, fence: Fence) -> None:
        """The job fails by its owner's fault."""
        error = JobError("diverged", "The loss is no longer finite.", "user")
        with transaction(self.session_factory) as session:
            jobs.fail(session, fence, error=error, exit_cause="diverged")


@pytest.fixture
def rows(session_factory: SessionFactory, object_store: ObjectStore) -> Rows:
    """Rows of the workspace `ours`."""
    return Rows(session_factory, object_store)


REPORT: Json = {
    "kind": "train",
    "columns": {"network": {"splits": {"test": {"accuracy": 0.75}}}},
}


def dataset_description(*, channels: int = 1, num_classes: int = 3) -> Json:
    """What ingest writes of a dataset of 8x8 images."""
    split = {
        "num_examples": 30 * num_classes,
        "class_counts": [30] * num_classes,
        "images_sha256": "a" * 64,
        "labels_sha256": "b" * 64,
        "num_skipped": 0,
    }
    return {
        "name": "letters",
        "class_names": ["a", "b", "c", "d", "e"][:num_classes],
        "image": {"channels": channels, "height": 8, "width": 8},
        "splits": {"train": split | {"images_sha256": "c" * 64}, "test": split},
        "mean": [0.5] * channels,
        "std": [0.25] * channels,
    }


def _ready_model(description: NetworkDescription) -> ReadyModel:
    return ReadyModel(
        description=description,
        format="safetensors",
        parameters=8515,
        flops=16_768,
        layers=[
            models.TappableLayer(layer.name, layer.shape)
            for layer in layer_shapes(description) or ()
        ],
        object_key="models/x",
        sha256="c" * 64,
        size_bytes=34_060,
    )


def _progress(fraction: float) -> Progress:
    return Progress(
        run="network",
        training_stage="training",
        fraction=fraction,
        epoch=1,
        num_epochs=10,
        step=7,
        num_steps=70,
        images_per_second=1000.0,
        eta_seconds=3.0,
        loss=0.5,
    )
