"""Datasets belong to a workspace, or are built in and seen by all."""

import pytest

from kdstore import datasets, uploads, validation
from kdstore.db import SessionFactory, reading, transaction
from kdstore.errors import DatasetNotFound, UploadNotStored

READY = datasets.ReadyDataset(
    description={"name": "digits", "class_names": ["0", "1"]},
    files=[datasets.DatasetFile("train-images.npy", datasets.file_key("c" * 64), "c" * 64, 99)],
    sha256="d" * 64,
    thumbnails=[datasets.Thumbnail("0", "thumbnails/0.png")],
)


@pytest.fixture
def upload_id(session_factory: SessionFactory, workspace_id: str) -> str:
    with transaction(session_factory) as session:
        upload = uploads.create(
            session,
            workspace_id=workspace_id,
            purpose="dataset",
            filename="images.zip",
            size_bytes=1,
            sha256=None,
            part_size_bytes=10,
            max_bytes=100,
            expiry_seconds=60,
        )
        upload.status = "stored"
        return upload.id


@pytest.fixture
def dataset_id(session_factory: SessionFactory, workspace_id: str, upload_id: str) -> str:
    with transaction(session_factory) as session:
        return datasets.create_from_upload(
            session,
            workspace_id=workspace_id,
            name="images",
            upload_id=upload_id,
            source_format="image_folder_zip",
            class_names=["cat", "dog"],
        ).id


def test_new_dataset_is_validating(
    session_factory: SessionFactory, workspace_id: str, dataset_id: str, upload_id: str
) -> None:
    with reading(session_factory) as session:
        dataset = datasets.get(session, workspace_id=workspace_id, dataset_id=dataset_id)
    assert (dataset.status, dataset.format, dataset.builtin, dataset.source_upload_id) == (
        "validating",
        "image_folder_zip",
        False,
        upload_id,
    )
    assert dataset.requested_class_names == ["cat", "dog"]
    assert datasets.files_of(dataset) == ()


def test_checkpoint_upload_is_no_source(
    session_factory: SessionFactory, workspace_id: str, upload_id: str
) -> None:
    def create() -> None:
        with transaction(session_factory) as session:
            upload = uploads.get(session, workspace_id=workspace_id, upload_id=upload_id)
            upload.purpose = "checkpoint"
            datasets.create_from_upload(
                session,
                workspace_id=workspace_id,
                name="x",
                upload_id=upload_id,
                source_format="npz",
            )

    with pytest.raises(UploadNotStored):
        create()


def test_ready_dataset_lists_its_files(session_factory: SessionFactory, workspace_id: str) -> None:
    with transaction(session_factory) as session:
        datasets.ensure_builtin(session, "digits")
        fence = validation.claim(session, "dataset", "digits", lease_seconds=60)
        assert fence is not None
        assert datasets.read_validating(session, fence).format == "builtin"
        datasets.mark_ready(session, fence, READY)
    with reading(session_factory) as session:
        dataset = datasets.get(session, workspace_id=workspace_id, dataset_id="digits")
    assert dataset.status == "ready"
    assert datasets.files_of(dataset) == tuple(READY.files)
    assert dataset.description == {"name": "digits", "class_names": ["0", "1"]}
    assert dataset.thumbnails == [{"class_name": "0", "object_key": "thumbnails/0.png"}]
    assert dataset.sha256 == "d" * 64


def test_builtin_dataset_is_made_once(session_factory: SessionFactory) -> None:
    with transaction(session_factory) as session:
        first = datasets.ensure_builtin(session, "digits")
    with transaction(session_factory) as session:
        again = datasets.ensure_builtin(session, "digits")
    assert (again.id, again.created_at) == (first.id, first.created_at)
    assert again.builtin
    assert again.workspace_id is None


def test_rejected_builtin_dataset_is_offered_again(session_factory: SessionFactory) -> None:
    with transaction(session_factory) as session:
        datasets.ensure_builtin(session, "digits")
        fence = validation.claim(session, "dataset", "digits", lease_seconds=60)
        assert fence is not None
        crash = validation.Rejection(code="validation_failed", message="Its reader crashed.")
        validation.reject(session, fence, crash)
    with transaction(session_factory) as session:
        offered = datasets.ensure_builtin(session, "digits")
    assert (offered.status, offered.problem) == ("validating", None)
    with transaction(session_factory) as session:
        assert validation.claim(session, "dataset", "digits", lease_seconds=60) is not None


def test_every_workspace_sees_the_builtin_ones_and_only_its_own(
    session_factory: SessionFactory,
    workspace_id: str,
    other_workspace_id: str,
    dataset_id: str,
) -> None:
    with transaction(session_factory) as session:
        datasets.ensure_builtin(session, "digits")
    with reading(session_factory) as session:
        mine = datasets.page(session, workspace_id=workspace_id)
        theirs = datasets.page(session, workspace_id=other_workspace_id)
        ready = datasets.page(session, workspace_id=workspace_id, status="ready")
        with pytest.raises(DatasetNotFound):
            datasets.get(session, workspace_id=other_workspace_id, dataset_id=dataset_id)
        builtin = datasets.get(session, workspace_id=other_workspace_id, dataset_id="digits")
    assert {dataset.id for dataset in mine.items} == {"digits", dataset_id}
    assert [dataset.id for dataset in theirs.items] == ["digits"]
    assert ready.items == []
    assert builtin.builtin
