"""What strangers send, stored as the API would store it: uploads, models, datasets."""

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass

import numpy as np

from kdstore import datasets, models, uploads
from kdstore.db import SessionFactory, reading, transaction
from kdstore.objects import ObjectStore
from kdstore.tables import Dataset, JsonObject, Model, UploadPurpose
from kdstore.upload_bytes import assemble, store_part

IMAGE_INPUT = {"channels": 1, "height": 8, "width": 8}
SMALL_MLP = {"architecture": "mlp", "hidden": [16]}


@dataclass(frozen=True)
class Strangers:
    """Uploads into one workspace, and reads what became of them."""

    session_factory: SessionFactory
    objects: ObjectStore
    workspace_id: str

    def upload(self, data: bytes, *, purpose: UploadPurpose) -> str:
        """Store bytes as a complete upload of one part."""
        with transaction(self.session_factory) as session:
            upload = uploads.create(
                session,
                workspace_id=self.workspace_id,
                purpose=purpose,
                filename="file",
                size_bytes=len(data),
                sha256=None,
                part_size_bytes=len(data),
                max_bytes=2**30,
                expiry_seconds=3600,
            )

        async def chunks() -> AsyncIterator[bytes]:
            yield data

        part = asyncio.run(store_part(self.objects, upload, number=1, chunks=chunks()))
        with transaction(self.session_factory) as session:
            uploads.register_part(
                session, workspace_id=self.workspace_id, upload_id=upload.id, part=part
            )
            assembly = uploads.plan_assembly(
                session, workspace_id=self.workspace_id, upload_id=upload.id
            )
        assert assembly is not None
        blob = assemble(self.objects, assembly)
        with transaction(self.session_factory) as session:
            uploads.mark_stored(session, assembly, blob)
        return upload.id

    def model(self, data: bytes, *, architecture: JsonObject | None = None) -> str:
        """Upload a checkpoint and ask for a model of it."""
        upload_id = self.upload(data, purpose="checkpoint")
        requested: JsonObject = {
            "architecture": architecture or SMALL_MLP,
            "input": IMAGE_INPUT,
            "class_names": [],
        }
        with transaction(self.session_factory) as session:
            return models.create_from_upload(
                session,
                workspace_id=self.workspace_id,
                name="stranger",
                upload_id=upload_id,
                requested=requested,
            ).id

    def model_of_job(self, job_id: str) -> str:
        """Ask for a model of what a job trained."""
        with transaction(self.session_factory) as session:
            return models.create_from_job(
                session, workspace_id=self.workspace_id, name="pupil", job_id=job_id
            ).id

    def dataset(self, data: bytes, *, source_format: str = "npz") -> str:
        """Upload a dataset and ask for it to be read."""
        upload_id = self.upload(data, purpose="dataset")
        with transaction(self.session_factory) as session:
            return datasets.create_from_upload(
                session,
                workspace_id=self.workspace_id,
                name="strange",
                upload_id=upload_id,
                source_format=source_format,
            ).id

    def read_model(self, model_id: str) -> Model:
        with reading(self.session_factory) as session:
            return models.get(session, workspace_id=self.workspace_id, model_id=model_id)

    def read_dataset(self, dataset_id: str) -> Dataset:
        with reading(self.session_factory) as session:
            return datasets.get(session, workspace_id=self.workspace_id, dataset_id=dataset_id)


def two_class_npz(*, num_examples: int = 40) -> bytes:
    """Dark images of class 0 and bright ones of class 1, 8x8 grey, the same for both splits."""
    labels_N = np.arange(num_examples) % 2
    images_NHW = np.full((num_examples, 8, 8), 20, dtype=np.uint8)
    images_NHW[labels_N == 1] = 200
    file = io.BytesIO()
    np.savez(
        file,
        train_images=images_NHW,
        train_labels=labels_N,
        test_images=images_NHW,
        test_labels=labels_N,
    )
    return file.getvalue()


def zip_of_text() -> bytes:
    """A zip that holds no image at all."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("read.me", "no images here")
    return file.getvalue()
