"""Another workspace's ids are not found, on any route, in any role."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI

Client = Any  # these are classes of conftest.py, which tests cannot import
Rows = Any
Json = dict[str, Any]

_IDS = {"job_id", "model_id", "dataset_id", "upload_id", "key_id"}


@pytest.fixture
def ours(make_client: Any, rows: Rows) -> dict[str, str]:
    """One of everything, in the workspace `ours`."""
    job_id = rows.job()
    rows.finish(rows.claim(job_id), files={"network.onnx": b"bytes"})
    admin = make_client(role="admin")
    return {
        "job_id": job_id,
        "model_id": rows.ready_model(),
        "dataset_id": rows.ready_dataset(),
        "upload_id": rows.stored_upload(purpose="dataset"),
        "key_id": admin.get("/v1/keys").json()["items"][0]["id"],
        "number": "1",
        "name": "network.onnx",
    }


def _routes_with_ids(app: FastAPI) -> Iterator[tuple[str, str]]:
    for path, operations in app.openapi()["paths"].items():
        if any(f"{{{name}}}" in path for name in _IDS):
            for method in operations:
                yield method.upper(), path


def test_another_workspaces_id_is_not_found_on_every_route(
    app: FastAPI, stranger: Client, ours: dict[str, str]
) -> None:
    routes = list(_routes_with_ids(app))
    assert len(routes) >= 20
    for method, path in routes:
        answer = stranger.request(method, path.format(**ours), content=b"")
        assert answer.status_code == 404, (method, path, answer.text)
        if method != "HEAD":
            assert answer.json()["code"].endswith("_not_found"), (method, path)


def test_another_workspaces_id_answers_as_one_that_is_nowhere(
    app: FastAPI, stranger: Client, ours: dict[str, str]
) -> None:
    for method, path in _routes_with_ids(app):
        found = []
        for ids in (ours, {name: value[:4] + "0" * 22 for name, value in ours.items()}):
            known = ids | {"number": "1", "name": "network.onnx"}
            problem = stranger.request(method, path.format(**known), content=b"")
            text = problem.text.replace(problem.headers["X-Request-Id"], "")
            for name in _IDS:
                text = text.replace(ids[name], "")
            found.append((problem.status_code, text))
        assert found[0] == found[1], (method, path)


def test_another_workspaces_things_cannot_be_used(stranger: Client, ours: dict[str, str]) -> None:
    mlp = {"architecture": "mlp", "hidden": [8]}
    bodies: list[tuple[str, Json, str, str]] = [
        ("/v1/models", {"name": "x", "job_id": ours["job_id"]}, "/job_id", "job_not_found"),
        (
            "/v1/datasets",
            {"name": "x", "upload_id": ours["upload_id"], "format": "npz"},
            "/upload_id",
            "upload_not_found",
        ),
        (
            "/v1/jobs",
            {"kind": "train", "dataset": ours["dataset_id"], "network": mlp},
            "/dataset",
            "dataset_not_found",
        ),
    ]
    for route, body, pointer, code in bodies:
        answer = stranger.post(route, json=body)
        assert answer.status_code == 422
        assert answer.json()["code"] == code
        assert [item["pointer"] for item in answer.json()["errors"]] == [pointer]


def test_lists_show_nothing_of_another_workspace(stranger: Client, ours: dict[str, str]) -> None:
    assert stranger.get("/v1/jobs").json()["items"] == []
    assert stranger.get("/v1/models").json()["items"] == []
    assert [d["id"] for d in stranger.get("/v1/datasets").json()["items"]] == ["digits"]
    keys = stranger.get("/v1/keys").json()["items"]
    assert ours["key_id"] not in {key["id"] for key in keys}
    assert all(worker["job_id"] is None for worker in stranger.get("/v1/workers").json()["workers"])
