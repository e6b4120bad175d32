"""Models come from uploads or jobs, and become ready or rejected once."""

from collections.abc import Callable

import pytest

from kdcore.spec import ImageInput, Mlp, NetworkDescription
from kdstore import artifacts, jobs, models, uploads, validation
from kdstore.db import SessionFactory, reading, transaction
from kdstore.errors import (
    ArtifactNotFound,
    JobNotFound,
    ModelNotFound,
    UploadNotStored,
    ValidationLost,
)
from kdstore.tables import Model

ClaimJob = Callable[..., jobs.Claim]
QueueJob = Callable[..., str]

DESCRIPTION = NetworkDescription(
    architecture=Mlp(hidden=(8,)),
    input=ImageInput(channels=1, height=8, width=8, mean=(0.5,), std=(0.25,)),
    num_classes=10,
)
READY = models.ReadyModel(
    description=DESCRIPTION,
    format="safetensors",
    parameters=610,
    flops=1184,
    layers=[models.TappableLayer("hidden.0", (8,))],
    object_key=models.weights_key("a" * 64),
    sha256="a" * 64,
    size_bytes=2440,
)


@pytest.fixture
def upload_id(session_factory: SessionFactory, workspace_id: str) -> str:
    with transaction(session_factory) as session:
        upload = uploads.create(
            session,
            workspace_id=workspace_id,
            purpose="checkpoint",
            filename="teacher.pth",
            size_bytes=1,
            sha256=None,
            part_size_bytes=10,
            max_bytes=100,
            expiry_seconds=60,
        )
        upload.status = "stored"
        return upload.id


@pytest.fixture
def model_id(session_factory: SessionFactory, workspace_id: str, upload_id: str) -> str:
    with transaction(session_factory) as session:
        return models.create_from_upload(
            session,
            workspace_id=workspace_id,
            name="teacher",
            upload_id=upload_id,
            requested={"architecture": {"architecture": "mlp", "hidden": [8]}},
        ).id


def _artifact(name: str) -> artifacts.NewArtifact:
    return artifacts.NewArtifact(
        name=name,
        object_key=f"jobs/{name}",
        size_bytes=1,
        sha256="b" * 64,
        media_type="application/octet-stream",
    )


class TestFromUpload:
    def test_new_model_is_validating(
        self, session_factory: SessionFactory, workspace_id: str, upload_id: str, model_id: str
    ) -> None:
        with reading(session_factory) as session:
            model = models.get(session, workspace_id=workspace_id, model_id=model_id)
        assert (model.status, model.name, model.source_upload_id, model.source_job_id) == (
            "validating",
            "teacher",
            upload_id,
            None,
        )
        assert model.requested["architecture"]["hidden"] == [8]
        assert (model.description, model.problem, model.layers) == (None, None, None)

    def test_upload_that_is_not_stored_is_no_source(
        self, session_factory: SessionFactory, workspace_id: str, upload_id: str
    ) -> None:
        def create() -> None:
            with transaction(session_factory) as session:
                upload = uploads.get(session, workspace_id=workspace_id, upload_id=upload_id)
                upload.status = "pending"
                models.create_from_upload(
                    session,
                    workspace_id=workspace_id,
                    name="x",
                    upload_id=upload_id,
                    requested={},
                )

        with pytest.raises(UploadNotStored):
            create()


class TestFromJob:
    def test_weights_and_description_of_a_finished_job_are_its_source(
        self,
        session_factory: SessionFactory,
        queue_job: QueueJob,
        claim_job: ClaimJob,
        workspace_id: str,
    ) -> None:
        job_id = queue_job()
        fence = claim_job(job_id).fence
        made = [_artifact("network.json"), _artifact("network.safetensors")]
        with transaction(session_factory) as session:
            jobs.finish(session, fence, result={}, report={}, artifacts=made)
        with transaction(session_factory) as session:
            model = models.create_from_job(
                session, workspace_id=workspace_id, name="student", job_id=job_id
            )
            weights = models.weights_of_job(session, workspace_id=workspace_id, job_id=job_id)
        assert (model.status, model.source_job_id) == ("validating", job_id)
        assert weights.weights.name == "network.safetensors"
        assert weights.description.name == "network.json"

    def test_job_without_weights_is_no_source(
        self, session_factory: SessionFactory, queue_job: QueueJob, workspace_id: str
    ) -> None:
        job_id = queue_job()

        def create() -> None:
            with transaction(session_factory) as session:
                models.create_from_job(session, workspace_id=workspace_id, name="x", job_id=job_id)

        with pytest.raises(ArtifactNotFound):
            create()

    def test_job_of_another_workspace_is_not_found(
        self, session_factory: SessionFactory, queue_job: QueueJob, other_workspace_id: str
    ) -> None:
        job_id = queue_job()

        def create() -> None:
            with transaction(session_factory) as session:
                models.create_from_job(
                    session, workspace_id=other_workspace_id, name="x", job_id=job_id
                )

        with pytest.raises(JobNotFound):
            create()


class TestValidation:
    def test_ready_model_tells_all_that_was_found(
        self, session_factory: SessionFactory, workspace_id: str, model_id: str
    ) -> None:
        with transaction(session_factory) as session:
            fence = validation.claim(session, "model", model_id, lease_seconds=60)
            assert fence is not None
            assert models.read_validating(session, fence).id == model_id
            models.mark_ready(session, fence, READY)
        with reading(session_factory) as session:
            model = models.get(session, workspace_id=workspace_id, model_id=model_id)
        assert (model.status, model.format, model.parameters, model.flops) == (
            "ready",
            "safetensors",
            610,
            1184,
        )
        assert model.layers == [{"name": "hidden.0", "shape": [8]}]
        assert model.sha256 == "a" * 64
        assert model.object_key == f"models/{'a' * 64}.safetensors"
        assert NetworkDescription.model_validate(model.description, strict=False) == DESCRIPTION

    def test_model_that_another_worker_took_is_lost(
        self, session_factory: SessionFactory, model_id: str
    ) -> None:
        with transaction(session_factory) as session:
            fence = validation.claim(session, "model", model_id, lease_seconds=-1)
            assert fence is not None
            assert validation.sweep(session, republish_seconds=60).models == (model_id,)
            assert validation.claim(session, "model", model_id, lease_seconds=60) is not None
        with reading(session_factory) as session, pytest.raises(ValidationLost):
            models.read_validating(session, fence)


class TestRead:
    def test_model_of_another_workspace_is_not_found(
        self, session_factory: SessionFactory, model_id: str, other_workspace_id: str
    ) -> None:
        with reading(session_factory) as session:
            with pytest.raises(ModelNotFound):
                models.get(session, workspace_id=other_workspace_id, model_id=model_id)
            assert models.page(session, workspace_id=other_workspace_id).items == []

    def test_page_filters_by_status(
        self, session_factory: SessionFactory, workspace_id: str, model_id: str
    ) -> None:
        def ids(status: str) -> list[str]:
            with reading(session_factory) as session:
                page = models.page(session, workspace_id=workspace_id, status=status)  # type: ignore[arg-type]  # given by the test
            found: list[Model] = list(page.items)
            return [model.id for model in found]

        assert ids("validating") == [model_id]
        assert ids("ready") == []
