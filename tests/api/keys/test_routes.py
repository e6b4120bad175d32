"""Keys: admins make, list and revoke them; a token is shown once."""

from typing import Any

import pytest

Client = Any  # these are classes of conftest.py, which tests cannot import
MakeClient = Any


@pytest.fixture
def admin(make_client: MakeClient) -> Client:
    return make_client(role="admin")


def test_new_key_works_with_its_role(admin: Client) -> None:
    answer = admin.post("/v1/keys", json={"name": "a viewer", "role": "viewer"})
    assert answer.status_code == 201
    key = answer.json()
    assert answer.headers["Location"] == f"/v1/keys/{key['id']}"
    assert answer.headers["Cache-Control"] == "no-store"
    headers = {"Authorization": f"Bearer {key['token']}"}
    assert admin.get("/v1/jobs", headers=headers).status_code == 200
    assert admin.get("/v1/keys", headers=headers).status_code == 403


def test_role_is_member_unless_said(admin: Client) -> None:
    assert admin.post("/v1/keys", json={"name": "x"}).json()["role"] == "member"


def test_list_shows_no_token(admin: Client) -> None:
    token = admin.post("/v1/keys", json={"name": "x"}).json()["token"]
    answer = admin.get("/v1/keys")
    assert [key["name"] for key in answer.json()["items"]] == ["x", "admin"]
    assert token not in answer.text
    assert token.rpartition("_")[2] not in answer.text


def test_repeated_request_does_not_tell_the_token_again(admin: Client) -> None:
    headers = {"Idempotency-Key": "once"}
    first = admin.post("/v1/keys", json={"name": "x"}, headers=headers).json()
    again = admin.post("/v1/keys", json={"name": "x"}, headers=headers).json()
    assert first["token"]
    assert again == first | {"token": None}


def test_revoked_key_is_refused_at_once(admin: Client, make_client: MakeClient) -> None:
    key = admin.post("/v1/keys", json={"name": "x"}).json()
    headers = {"Authorization": f"Bearer {key['token']}"}
    assert admin.get("/v1/jobs", headers=headers).status_code == 200
    revoked = admin.delete(f"/v1/keys/{key['id']}")
    assert revoked.status_code == 200
    assert revoked.json()["revoked_at"] is not None
    answer = admin.get("/v1/jobs", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["code"] == "key_invalid"
    assert admin.delete(f"/v1/keys/{key['id']}").json() == revoked.json()


@pytest.mark.parametrize("role", ["member", "viewer"])
def test_only_admins_touch_keys(make_client: MakeClient, role: str) -> None:
    other = make_client(role=role)
    answers = [
        other.get("/v1/keys"),
        other.post("/v1/keys", json={"name": "x", "role": "admin"}),
        other.delete("/v1/keys/key_x"),
    ]
    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert {answer.json()["code"] for answer in answers} == {"role_too_low"}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/name"),
        ({"name": ""}, "/name"),
        ({"name": "x" * 201}, "/name"),
        ({"name": "x", "role": "owner"}, "/role"),
        ({"name": "x", "workspace_id": "wsp_x"}, "/workspace_id"),
    ],
)
def test_wrong_bodies_name_the_field(admin: Client, body: dict[str, str], pointer: str) -> None:
    answer = admin.post("/v1/keys", json=body)
    assert answer.status_code == 422
    assert [item["pointer"] for item in answer.json()["errors"]] == [pointer]


def test_unknown_key_is_not_found(admin: Client) -> None:
    answer = admin.delete("/v1/keys/key_x")
    assert answer.status_code == 404
    assert answer.json()["code"] == "key_not_found"
