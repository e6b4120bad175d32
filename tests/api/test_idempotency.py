"""A request that is sent again gets the first answer, and creates nothing twice."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

Client = Any  # these are classes of conftest.py, which tests cannot import
MakeClient = Any
Rows = Any
Json = dict[str, Any]

TRAIN: Json = {"kind": "train", "network": {"architecture": "mlp", "hidden": [8]}}


@pytest.fixture
def create(client: Client, rows: Rows) -> Callable[..., Any]:
    """Create a job under the Idempotency-Key `once`."""
    dataset_id = rows.ready_dataset()

    def post(*, name: str = "first", key: str = "once", by: Client = client) -> Any:
        body = TRAIN | {"dataset": dataset_id, "name": name}
        return by.post("/v1/jobs", json=body, headers={"Idempotency-Key": key})

    return post


def test_same_key_and_body_gets_the_first_answer(
    client: Client, create: Callable[..., Any], messages: Callable[[], list[tuple[str, str]]]
) -> None:
    first = create()
    published = messages()
    again = create()
    assert again.status_code == first.status_code == 201
    assert again.json() == first.json()
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert len(client.get("/v1/jobs").json()["items"]) == 1
    assert messages() == published


def test_first_answer_comes_again_even_after_the_job_moved_on(
    client: Client, create: Callable[..., Any]
) -> None:
    first = create()
    client.post(f"/v1/jobs/{first.json()['id']}/cancel")
    assert create().json()["status"] == "queued"


def test_same_key_with_another_body_is_a_conflict(create: Callable[..., Any]) -> None:
    create()
    answer = create(name="second")
    assert answer.status_code == 409
    assert answer.json()["code"] == "idempotency_conflict"


def test_same_key_on_another_route_is_a_conflict(
    client: Client, rows: Rows, create: Callable[..., Any]
) -> None:
    create()
    body = {"name": "x", "upload_id": rows.stored_upload(purpose="dataset"), "format": "npz"}
    answer = client.post("/v1/datasets", json=body, headers={"Idempotency-Key": "once"})
    assert answer.status_code == 409


def test_workspaces_do_not_share_keys(client: Client, stranger: Client, rows: Rows) -> None:
    body = {"purpose": "dataset", "filename": "a.zip", "size_bytes": 3}
    headers = {"Idempotency-Key": "shared"}
    ours = client.post("/v1/uploads", json=body, headers=headers)
    theirs = stranger.post("/v1/uploads", json=body, headers=headers)
    assert ours.status_code == theirs.status_code == 201
    assert ours.json()["id"] != theirs.json()["id"]


def test_refused_request_leaves_its_key_free(client: Client, rows: Rows) -> None:
    headers = {"Idempotency-Key": "once"}
    body = TRAIN | {"dataset": "dts_missing"}
    assert client.post("/v1/jobs", json=body, headers=headers).status_code == 422
    body = TRAIN | {"dataset": rows.ready_dataset()}
    assert client.post("/v1/jobs", json=body, headers=headers).status_code == 201


def test_requests_at_the_same_time_create_one_thing(
    client: Client, create: Callable[..., Any]
) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: create(), range(4)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(client.get("/v1/jobs").json()["items"]) == 1


def test_every_creating_route_honours_the_key(make_client: MakeClient, rows: Rows) -> None:
    admin = make_client(role="admin")
    checkpoint = rows.stored_upload(purpose="checkpoint")
    images = rows.stored_upload(purpose="dataset")
    mlp = {"architecture": "mlp", "hidden": [8]}
    shape = {"channels": 1, "height": 8, "width": 8}
    bodies: dict[str, Json] = {
        "/v1/uploads": {"purpose": "dataset", "filename": "a.zip", "size_bytes": 3},
        "/v1/models": {
            "name": "m",
            "upload_id": checkpoint,
            "architecture": mlp,
            "input": shape,
        },
        "/v1/datasets": {"name": "d", "upload_id": images, "format": "npz"},
        "/v1/jobs": TRAIN | {"dataset": rows.ready_dataset()},
        "/v1/keys": {"name": "k"},
    }
    for route, body in bodies.items():
        headers = {"Idempotency-Key": route}
        ids = {admin.post(route, json=body, headers=headers).json()["id"] for _ in range(2)}
        assert len(ids) == 1, route


@pytest.mark.parametrize("key", ["", "a b", "x" * 256])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_strange_keys_are_refused(client: Client, key: str) -> None:
    body = {"purpose": "dataset", "filename": "a.zip", "size_bytes": 3}
    answer = client.post("/v1/uploads", json=body, headers={"Idempotency-Key": key})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["parameter"] == "Idempotency-Key"
