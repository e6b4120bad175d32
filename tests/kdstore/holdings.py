"""Rows of every kind that refers to an object, each with its object, for the tests of sweeping."""

import hashlib
from dataclasses import dataclass

from kdcore.spec import Mlp, TrainJob, parse_network
from kdstore import datasets, jobs, models, uploads, validation, workspaces
from kdstore.artifacts import NewArtifact, artifact_key
from kdstore.datasets import DatasetFile, ReadyDataset, Thumbnail, file_key
from kdstore.db import SessionFactory, transaction
from kdstore.jobs import Fence, JobError, NewCheckpoint, checkpoint_key
from kdstore.models import ReadyModel, weights_key
from kdstore.objects import ObjectStore
from kdstore.tables import UploadPurpose
from kdstore.upload_bytes import Assembly, StoredBlob, StoredPart, blob_key
from kdstore.validation import Subject, ValidationFence

NETWORK = parse_network(
    {
        "architecture": {"architecture": "mlp", "hidden": [4]},
        "input": {"channels": 1, "height": 8, "width": 8},
        "num_classes": 2,
        "class_names": ["a", "b"],
    }
)


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Holdings:
    """Makes things in one workspace as API and worker would; every method gives ids or keys."""

    session_factory: SessionFactory
    objects: ObjectStore

    @property
    def workspace_id(self) -> str:
        with transaction(self.session_factory) as session:
            return workspaces.ensure(session, name="holders").id

    def pending_upload(self, data: bytes = b"part") -> tuple[str, str]:
        """An upload of one part that has arrived: its id and the part's key."""
        workspace_id = self.workspace_id
        with transaction(self.session_factory) as session:
            upload_id = uploads.create(
                session,
                workspace_id=workspace_id,
                purpose="checkpoint",
                filename="file",
                size_bytes=len(data),
                sha256=None,
                part_size_bytes=1000,
                max_bytes=10_000,
                expiry_seconds=60,
            ).id
            part = StoredPart(1, len(data), digest_of(data), f"uploads/{upload_id}/00001-x")
            uploads.register_part(
                session, workspace_id=workspace_id, upload_id=upload_id, part=part
            )
        self.objects.put_bytes(part.object_key, data)
        return upload_id, part.object_key

    def abandon(self, upload_id: str) -> None:
        with transaction(self.session_factory) as session:
            uploads.abandon(session, workspace_id=self.workspace_id, upload_id=upload_id)

    def stored_upload(
        self, data: bytes = b"weights", *, purpose: UploadPurpose = "checkpoint"
    ) -> tuple[str, str]:
        """A complete upload: its id and the key of its blob."""
        workspace_id = self.workspace_id
        key = blob_key(digest_of(data))
        self.objects.put_bytes(key, data)
        with transaction(self.session_factory) as session:
            upload = uploads.create(
                session,
                workspace_id=workspace_id,
                purpose=purpose,
                filename="file",
                size_bytes=len(data),
                sha256=digest_of(data),
                part_size_bytes=1000,
                max_bytes=10_000,
                expiry_seconds=60,
            )
            assembly = Assembly(upload.id, workspace_id, len(data), digest_of(data), ())
            uploads.mark_stored(session, assembly, StoredBlob(key, digest_of(data), len(data)))
        return upload.id, key

    def model(self, upload_id: str, data: bytes = b"canonical weights") -> tuple[str, str]:
        """A ready model of an upload: its id and the key of its weights."""
        with transaction(self.session_factory) as session:
            model_id = models.create_from_upload(
                session,
                workspace_id=self.workspace_id,
                name="teacher",
                upload_id=upload_id,
                requested={},
            ).id
        return model_id, self.make_ready(model_id, data)

    def model_of_job(self, job_id: str) -> str:
        """A model of a job's student that nobody has validated yet."""
        with transaction(self.session_factory) as session:
            return models.create_from_job(
                session, workspace_id=self.workspace_id, name="pupil", job_id=job_id
            ).id

    def make_ready(self, model_id: str, data: bytes) -> str:
        """Validate a model; gives the key of its weights."""
        key = weights_key(digest_of(data))
        self.objects.put_bytes(key, data)
        fence = self._claim("model", model_id)
        ready = ReadyModel(
            description=NETWORK,
            format="safetensors",
            parameters=1,
            flops=2,
            layers=(),
            object_key=key,
            sha256=digest_of(data),
            size_bytes=len(data),
        )
        with transaction(self.session_factory) as session:
            models.mark_ready(session, fence, ready)
        return key

    def dataset(self, *, name: str = "letters") -> tuple[str, tuple[str, ...]]:
        """A ready dataset: its id and the keys of its blob, a file and a thumbnail."""
        upload_id, blob = self.stored_upload(f"{name} zip".encode(), purpose="dataset")
        with transaction(self.session_factory) as session:
            dataset_id = datasets.create_from_upload(
                session,
                workspace_id=self.workspace_id,
                name=name,
                upload_id=upload_id,
                source_format="npz",
            ).id
        contents = [f"{name} {part}".encode() for part in ("images", "thumbnail")]
        file, thumbnail = (file_key(digest_of(content)) for content in contents)
        for key, content in zip((file, thumbnail), contents, strict=True):
            self.objects.put_bytes(key, content)
        fence = self._claim("dataset", dataset_id)
        ready = ReadyDataset(
            description={},
            files=[DatasetFile("images.npy", file, digest_of(contents[0]), len(contents[0]))],
            sha256="d" * 64,
            thumbnails=[Thumbnail("a", thumbnail)],
        )
        with transaction(self.session_factory) as session:
            datasets.mark_ready(session, fence, ready)
        return dataset_id, (blob, file, thumbnail)

    def running_job(self) -> Fence:
        """A job that a worker has claimed."""
        spec = TrainJob(dataset="digits", network=Mlp(hidden=(4,)), tags={"team": "vision"})
        with transaction(self.session_factory) as session:
            job_id = jobs.create(session, workspace_id=self.workspace_id, spec=spec).id
            claim = jobs.claim(session, job_id, worker="w", device="cpu", lease_seconds=60)
        assert claim is not None
        return claim.fence

    def checkpoint(self, fence: Fence, *, total_steps: int = 1) -> str:
        """A recorded checkpoint of a running job: its key."""
        key = self.put_checkpoint(fence, total_steps=total_steps)
        new = NewCheckpoint("network", "main", total_steps, total_steps, key, "c" * 64, 4)
        with transaction(self.session_factory) as session:
            jobs.checkpointed(session, fence, new)
        return key

    def put_checkpoint(self, fence: Fence, *, total_steps: int) -> str:
        """A checkpoint that is stored, but not recorded: its key."""
        key = checkpoint_key(fence, total_steps=total_steps)
        self.objects.put_bytes(key, b"bits")
        return key

    def put_artifact(self, fence: Fence, name: str) -> str:
        """A file that is stored, but of which no row tells: its key."""
        key = artifact_key(job_id=fence.job_id, attempt=fence.attempt, name=name)
        self.objects.put_bytes(key, name.encode())
        return key

    def succeed(self, fence: Fence) -> tuple[str, ...]:
        """End a job with the files that make a model: their keys."""
        names = ("network.safetensors", "network.json")
        keys = tuple(self.put_artifact(fence, name) for name in names)
        files = [
            NewArtifact(name, key, len(name), digest_of(name.encode()), "application/json")
            for name, key in zip(names, keys, strict=True)
        ]
        with transaction(self.session_factory) as session:
            jobs.finish(session, fence, result={}, report={}, artifacts=files)
        return keys

    def fail(self, fence: Fence) -> None:
        """End a job by an error of its user."""
        error = JobError("diverged", "NaN", "user")
        with transaction(self.session_factory) as session:
            jobs.fail(session, fence, error=error, exit_cause="diverged")

    def _claim(self, subject: Subject, subject_id: str) -> ValidationFence:
        with transaction(self.session_factory) as session:
            fence = validation.claim(session, subject, subject_id, lease_seconds=60)
        assert fence is not None
        return fence
