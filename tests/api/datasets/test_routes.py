"""Datasets: made from uploads, validated by a worker, built-in ones always listed."""

from collections.abc import Callable
from typing import Any

import pytest

from kdstore import datasets, validation
from kdstore.datasets import ReadyDataset, Thumbnail
from kdstore.db import SessionFactory, transaction
from kdstore.objects import ObjectStore

Client = Any  # these are classes of conftest.py, which tests cannot import
Rows = Any
Json = dict[str, Any]
Messages = Callable[[], list[tuple[str, str]]]


class TestCreate:
    def test_dataset_from_an_upload_is_validating(
        self, client: Client, rows: Rows, messages: Messages
    ) -> None:
        body = {
            "name": "letters",
            "upload_id": rows.stored_upload(purpose="dataset"),
            "format": "npz",
            "class_names": ["a", "b"],
        }
        answer = client.post("/v1/datasets", json=body)
        assert answer.status_code == 202
        dataset = answer.json()
        assert answer.headers["Location"] == f"/v1/datasets/{dataset['id']}"
        assert dataset["status"] == "validating"
        assert dataset["class_names"] == ["a", "b"]
        assert dataset["splits"] is None
        assert ("potstill.validate_dataset", dataset["id"]) in messages()

    def test_upload_of_a_checkpoint_is_no_source(self, client: Client, rows: Rows) -> None:
        upload_id = rows.stored_upload(purpose="checkpoint")
        body = {"name": "x", "upload_id": upload_id, "format": "npz"}
        answer = client.post("/v1/datasets", json=body)
        assert answer.status_code == 422
        assert answer.json()["code"] == "upload_not_stored"

    @pytest.mark.parametrize(
        ("change", "pointer"),
        [
            ({"format": "tar"}, "/format"),
            ({"format": None}, "/format"),
            ({"name": 1}, "/name"),
            ({"class_names": [1]}, "/class_names/0"),
            ({"splits": {}}, "/splits"),
        ],
    )
    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_wrong_bodies_name_the_field(self, client: Client, change: Json, pointer: str) -> None:
        body = {"name": "x", "upload_id": "upl_x", "format": "npz"} | change
        answer = client.post("/v1/datasets", json=body)
        assert answer.status_code == 422
        assert [item["pointer"] for item in answer.json()["errors"]] == [pointer]


class TestRead:
    def test_ready_dataset_tells_shape_classes_and_counts(self, client: Client, rows: Rows) -> None:
        dataset = client.get(f"/v1/datasets/{rows.ready_dataset()}").json()
        assert dataset["status"] == "ready"
        assert dataset["image"] == {"channels": 1, "height": 8, "width": 8}
        assert dataset["class_names"] == ["a", "b", "c"]
        assert dataset["splits"]["train"] == {"num_examples": 90, "class_counts": [30, 30, 30]}
        assert dataset["mean"] == [0.5]
        assert dataset["builtin"] is False

    def test_rejected_dataset_names_the_entries(
        self, client: Client, rows: Rows, session_factory: SessionFactory
    ) -> None:
        body = {
            "name": "x",
            "upload_id": rows.stored_upload(purpose="dataset"),
            "format": "image_folder_zip",
        }
        dataset_id = client.post("/v1/datasets", json=body).json()["id"]
        with transaction(session_factory) as session:
            fence = validation.claim(session, "dataset", dataset_id, lease_seconds=30)
            assert fence is not None
            rejection = validation.Rejection("entry_name", "Remove them.", ("../x.png",))
            validation.reject(session, fence, rejection)
        problem = client.get(f"/v1/datasets/{dataset_id}").json()["problem"]
        assert problem == {"code": "entry_name", "message": "Remove them.", "details": ["../x.png"]}

    def test_builtin_is_listed_and_its_validation_published(
        self, client: Client, messages: Messages
    ) -> None:
        [item] = client.get("/v1/datasets").json()["items"]
        assert item["id"] == item["name"] == "digits"
        assert item["builtin"] is True
        assert client.get("/v1/datasets/digits").json() == item
        assert ("potstill.validate_dataset", "digits") in messages()

    def test_list_is_newest_first_and_filtered(self, client: Client, rows: Rows) -> None:
        dataset_id = rows.ready_dataset()
        items = client.get("/v1/datasets").json()["items"]
        assert [item["id"] for item in items] == [dataset_id, "digits"]
        found = client.get("/v1/datasets", params={"status": "ready"}).json()["items"]
        assert [item["id"] for item in found] == [dataset_id]

    def test_unknown_dataset_is_not_found(self, client: Client) -> None:
        answer = client.get("/v1/datasets/dts_x")
        assert answer.status_code == 404
        assert answer.json()["code"] == "dataset_not_found"


class TestThumbnails:
    @pytest.fixture
    def dataset_id(
        self, rows: Rows, session_factory: SessionFactory, object_store: ObjectStore, client: Client
    ) -> str:
        """A dataset with one picture."""
        object_store.put_bytes("thumbnails/a", b"\x89PNG")
        ready = client.get(f"/v1/datasets/{rows.ready_dataset()}").json()
        body = {"name": "x", "upload_id": ready["upload_id"], "format": "npz"}
        dataset_id: str = client.post("/v1/datasets", json=body).json()["id"]
        with transaction(session_factory) as session:
            described = datasets.get(
                session, workspace_id=rows.workspace_id, dataset_id=ready["id"]
            ).description
            fence = validation.claim(session, "dataset", dataset_id, lease_seconds=30)
            assert fence is not None
            assert described is not None
            picture = Thumbnail(class_name="<b>a</b>", object_key="thumbnails/a")
            made = ReadyDataset(described, files=[], sha256="d" * 64, thumbnails=[picture])
            datasets.mark_ready(session, fence, made)
        return dataset_id

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_picture_is_served_as_png_and_nothing_else(
        self, client: Client, dataset_id: str
    ) -> None:
        [thumbnail] = client.get(f"/v1/datasets/{dataset_id}").json()["thumbnails"]
        assert thumbnail["class_name"] == "<b>a</b>"
        answer = client.get(thumbnail["url"])
        assert answer.content == b"\x89PNG"
        assert answer.headers["Content-Type"] == "image/png"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_picture_that_is_not_there_is_not_found(self, client: Client, dataset_id: str) -> None:
        assert client.get(f"/v1/datasets/{dataset_id}/thumbnails/1").status_code == 404
