"""Models: made from uploads or jobs, validated by a worker, read by anybody of the workspace."""

from collections.abc import Callable
from typing import Any

import pytest

Client = Any  # these are classes of conftest.py, which tests cannot import
Rows = Any
Json = dict[str, Any]

MLP: Json = {"architecture": "mlp", "hidden": [8]}
SHAPE: Json = {"channels": 1, "height": 8, "width": 8}


class TestCreate:
    def test_model_from_an_upload_is_validating(
        self, client: Client, rows: Rows, messages: Callable[[], list[tuple[str, str]]]
    ) -> None:
        upload_id = rows.stored_upload(purpose="checkpoint")
        body = {
            "name": "teacher",
            "upload_id": upload_id,
            "architecture": MLP,
            "input": SHAPE | {"mean": [0.5], "std": [0.25]},
            "class_names": ["a", "b"],
        }
        answer = client.post("/v1/models", json=body)
        assert answer.status_code == 202
        model = answer.json()
        assert answer.headers["Location"] == f"/v1/models/{model['id']}"
        assert model["status"] == "validating"
        assert model["upload_id"] == upload_id
        assert model["input"] == SHAPE | {"mean": [0.5], "std": [0.25]}
        assert model["class_names"] == ["a", "b"]
        assert model["parameters"] is None
        assert ("potstill.validate_model", model["id"]) in messages()

    def test_model_from_a_job_is_validating(
        self, client: Client, rows: Rows, messages: Callable[[], list[tuple[str, str]]]
    ) -> None:
        job_id = rows.job()
        files = {"network.safetensors": b"weights", "network.json": b"{}"}
        rows.finish(rows.claim(job_id), files=files)
        answer = client.post("/v1/models", json={"name": "student", "job_id": job_id})
        assert answer.status_code == 202
        assert answer.json()["job_id"] == job_id
        assert answer.json()["upload_id"] is None
        assert ("potstill.validate_model", answer.json()["id"]) in messages()

    def test_torchvision_needs_no_input(self, client: Client, rows: Rows) -> None:
        body = {
            "name": "resnet",
            "upload_id": rows.stored_upload(purpose="checkpoint"),
            "architecture": {"architecture": "torchvision/resnet18"},
        }
        found = client.post("/v1/models", json=body).json()["input"]
        assert (found["channels"], found["height"], found["width"]) == (3, 224, 224)
        assert found["mean"] == [0.485, 0.456, 0.406]
        assert found["std"] == [0.229, 0.224, 0.225]

    def test_job_that_made_no_weights_is_no_source(self, client: Client, rows: Rows) -> None:
        answer = client.post("/v1/models", json={"name": "x", "job_id": rows.job()})
        assert answer.status_code == 422
        assert answer.json()["code"] == "artifact_not_found"
        assert answer.json()["errors"][0]["pointer"] == "/job_id"

    def test_upload_of_a_dataset_is_no_source(self, client: Client, rows: Rows) -> None:
        body = {
            "name": "x",
            "upload_id": rows.stored_upload(purpose="dataset"),
            "architecture": MLP,
            "input": SHAPE,
        }
        answer = client.post("/v1/models", json=body)
        assert answer.status_code == 422
        assert answer.json()["code"] == "upload_not_stored"
        assert answer.json()["errors"][0]["pointer"] == "/upload_id"
        assert "checkpoint" in answer.json()["detail"]

    def test_unfinished_upload_is_no_source(self, client: Client) -> None:
        upload = client.post(
            "/v1/uploads", json={"purpose": "checkpoint", "filename": "a", "size_bytes": 4}
        ).json()
        body = {"name": "x", "upload_id": upload["id"], "architecture": MLP, "input": SHAPE}
        assert client.post("/v1/models", json=body).json()["code"] == "upload_not_stored"

    @pytest.mark.parametrize(
        ("change", "pointer", "code"),
        [
            ({"input": None}, "/input", "field_missing"),
            ({"input": {"channels": 1, "height": 8}}, "/input/width", "field_missing"),
            ({"input": SHAPE | {"mean": [0.5, 0.5]}}, "/input/mean", "normalisation_length"),
            ({"input": SHAPE | {"std": [0.0]}}, "/input/std", "std_not_positive"),
            ({"architecture": None}, "/architecture/architecture", ""),
            ({"architecture": {"architecture": "gru"}}, "/architecture/architecture", ""),
            ({"architecture": MLP | {"depth": 3}}, "/architecture/depth", "unknown_field"),
            ({"class_names": "ab"}, "/class_names", ""),
            ({"class_names": ["a", 1]}, "/class_names/1", ""),
            ({"name": ""}, "/name", ""),
            ({"upload_id": 7}, "/upload_id", ""),
            ({"job_id": "job_x"}, "/upload_id", "unknown_field"),
            ({"weights": "x"}, "/weights", "unknown_field"),
        ],
    )
    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_wrong_bodies_name_the_field(
        self, client: Client, change: Json, pointer: str, code: str
    ) -> None:
        body = {"name": "x", "upload_id": "upl_x", "architecture": MLP, "input": SHAPE} | change
        answer = client.post("/v1/models", json=body)
        assert answer.status_code == 422
        item = answer.json()["errors"][0]
        assert item["pointer"] == pointer
        assert item["code"] == code or not code

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_missing_input_says_what_to_give(self, client: Client) -> None:
        body = {"name": "x", "upload_id": "upl_x", "architecture": MLP}
        [item] = client.post("/v1/models", json=body).json()["errors"]
        assert item["pointer"] == "/input"
        for word in ("channels", "height", "width", "mean", "std"):
            assert word in item["detail"]


class TestRead:
    def test_ready_model_tells_what_was_found(self, client: Client, rows: Rows) -> None:
        model = client.get(f"/v1/models/{rows.ready_model()}").json()
        assert model["status"] == "ready"
        assert model["format"] == "safetensors"
        assert model["parameters"] == 8515
        assert model["flops"] == 16_768
        assert {"name": "hidden.0", "shape": [64]} in model["layers"]
        assert {"name": "classifier@input", "shape": [64]} in model["layers"]
        assert model["sha256"] == "c" * 64
        assert model["num_classes"] == 3
        assert model["architecture"]["hidden"] == [64, 64]

    def test_rejected_model_tells_why(self, client: Client, rows: Rows) -> None:
        model = client.get(f"/v1/models/{rows.rejected_model()}").json()
        assert model["status"] == "rejected"
        assert model["problem"] == {
            "code": "pickle_not_allowed",
            "message": "Save it as safetensors.",
            "details": ["x"],
        }

    def test_unchanged_model_is_not_sent_again(self, client: Client, rows: Rows) -> None:
        url = f"/v1/models/{rows.ready_model()}"
        etag = client.get(url).headers["ETag"]
        answer = client.get(url, headers={"If-None-Match": etag})
        assert answer.status_code == 304
        assert answer.content == b""

    def test_unknown_model_is_not_found(self, client: Client) -> None:
        answer = client.get("/v1/models/mdl_x")
        assert answer.status_code == 404
        assert answer.json()["code"] == "model_not_found"

    def test_list_is_newest_first_and_filtered(self, client: Client, rows: Rows) -> None:
        ready, waiting = rows.ready_model(), rows.validating_model()
        items = client.get("/v1/models").json()["items"]
        assert [item["id"] for item in items] == [waiting, ready]
        found = client.get("/v1/models", params={"status": "ready"}).json()["items"]
        assert [item["id"] for item in found] == [ready]
