"""Uploads: parts in any order, again if need be, whole and checked at the end."""

import hashlib
import os
import socket
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from anyio.from_thread import BlockingPortal
from sqlalchemy import update

from kdstore.db import SessionFactory, now, transaction
from kdstore.objects import ObjectStore
from kdstore.settings import Settings
from kdstore.tables import Upload

Client = Any  # these are classes of conftest.py, which tests cannot import
Rows = Any
MakeToken = Any
Json = dict[str, Any]

DATA = b"0123456789"  # parts of 4, 4 and 2 bytes
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def upload(client: Client) -> Json:
    """A pending upload of DATA."""
    body = {"purpose": "dataset", "filename": "a.npz", "size_bytes": 10, "sha256": DIGEST}
    opened: Json = client.post("/v1/uploads", json=body).json()
    return opened


def _send(client: Client, upload: Json, *numbers: int) -> None:
    for number in numbers:
        part = upload["parts"][number - 1]
        data = DATA[4 * (number - 1) : 4 * number]
        answer = client.put(part["url"], content=data)
        assert answer.status_code == 200, answer.text
        assert answer.json() == {
            "number": number,
            "size_bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }


def _part_objects(objects: ObjectStore, upload: Json) -> list[str]:
    return list(objects.list_keys(f"uploads/{upload['id']}"))


class TestCreate:
    def test_answer_lists_the_parts_and_where_to_send_each(self, client: Client) -> None:
        body = {"purpose": "checkpoint", "filename": "t.pth", "size_bytes": 10}
        answer = client.post("/v1/uploads", json=body)
        assert answer.status_code == 201
        upload = answer.json()
        assert answer.headers["Location"] == f"/v1/uploads/{upload['id']}"
        assert upload["status"] == "pending"
        assert upload["part_size_bytes"] == 4
        assert [part["number"] for part in upload["parts"]] == [1, 2, 3]
        assert [part["size_bytes"] for part in upload["parts"]] == [4, 4, 2]
        assert not any(part["received"] for part in upload["parts"])
        url = f"http://127.0.0.1:8000/v1/uploads/{upload['id']}/parts/3"
        assert upload["parts"][2]["url"] == url

    def test_strange_host_header_is_not_in_the_urls(self, client: Client) -> None:
        body = {"purpose": "checkpoint", "filename": "t.pth", "size_bytes": 10}
        answer = client.post("/v1/uploads", json=body, headers={"Host": "evil.example"})
        assert "evil" not in answer.text

    def test_more_than_this_installation_takes_is_refused(self, client: Client) -> None:
        body = {"purpose": "dataset", "filename": "a.npz", "size_bytes": 1001}
        answer = client.post("/v1/uploads", json=body)
        assert answer.status_code == 413
        assert answer.json()["code"] == "upload_too_large"
        assert "1000" in answer.json()["detail"]

    @pytest.mark.parametrize(
        ("change", "pointer"),
        [
            ({"purpose": "model"}, "/purpose"),
            ({"filename": ""}, "/filename"),
            ({"filename": "../../etc/passwd"}, "/filename"),
            ({"filename": "a\r\nSet-Cookie: x"}, "/filename"),
            ({"filename": "C:\\x"}, "/filename"),
            ({"size_bytes": 0}, "/size_bytes"),
            ({"size_bytes": -1}, "/size_bytes"),
            ({"size_bytes": "10"}, "/size_bytes"),
            ({"size_bytes": 10**30}, "/size_bytes"),
            ({"sha256": "abc"}, "/sha256"),
            ({"sha256": DIGEST.upper()}, "/sha256"),
            ({"path": "x"}, "/path"),
        ],
    )
    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_wrong_bodies_name_the_field(self, client: Client, change: Json, pointer: str) -> None:
        body = {"purpose": "dataset", "filename": "a.npz", "size_bytes": 10} | change
        answer = client.post("/v1/uploads", json=body)
        assert answer.status_code == 422
        assert [item["pointer"] for item in answer.json()["errors"]] == [pointer]


class TestParts:
    def test_order_is_free_and_progress_is_told(self, client: Client, upload: Json) -> None:
        _send(client, upload, 3, 1)
        parts = client.get(f"/v1/uploads/{upload['id']}").json()["parts"]
        assert [part["received"] for part in parts] == [True, False, True]
        assert parts[2]["sha256"] == hashlib.sha256(b"89").hexdigest()
        assert parts[1]["sha256"] is None

    def test_part_sent_again_replaces_the_first(
        self, client: Client, upload: Json, object_store: ObjectStore
    ) -> None:
        client.put(upload["parts"][0]["url"], content=b"xxxx")
        _send(client, upload, 1, 2, 3)
        assert len(_part_objects(object_store, upload)) == 3
        answer = client.post(f"/v1/uploads/{upload['id']}/complete")
        assert answer.json()["status"] == "stored"

    @pytest.mark.parametrize("data", [b"", b"012", b"01234", b"0" * 100_000])
    def test_part_of_another_size_is_refused_and_leaves_nothing(
        self, client: Client, upload: Json, data: bytes, object_store: ObjectStore
    ) -> None:
        answer = client.put(upload["parts"][0]["url"], content=data)
        assert answer.status_code == 422
        assert answer.json()["code"] == "part_size_mismatch"
        assert _part_objects(object_store, upload) == []

    @pytest.mark.parametrize("number", ["4", "0", "-1", "x", "99999999999999999999"])
    def test_part_that_is_none_of_it_is_not_found(
        self, client: Client, upload: Json, number: str
    ) -> None:
        url = f"/v1/uploads/{upload['id']}/parts/{number}"
        assert client.put(url, content=b"0123").status_code == 404

    def test_expired_upload_takes_no_part(
        self, client: Client, upload: Json, session_factory: SessionFactory
    ) -> None:
        with transaction(session_factory) as session:
            session.execute(update(Upload).values(expires_at=Upload.created_at))
            assert now(session) is not None
        answer = client.put(upload["parts"][0]["url"], content=b"0123")
        assert answer.status_code == 409
        assert answer.json()["code"] == "upload_closed"


class TestInterruption:
    def test_broken_part_is_not_received_and_the_client_goes_on(
        self,
        live_url: str,
        make_token: MakeToken,
        object_store: ObjectStore,
        settings: Settings,
    ) -> None:
        headers = {"Authorization": f"Bearer {make_token()}"}
        address = urlsplit(live_url)
        with httpx.Client(base_url=live_url, headers=headers) as client:
            body = {"purpose": "dataset", "filename": "a.npz", "size_bytes": 10}
            upload = client.post("/v1/uploads", json=body).json()
            paths = [urlsplit(part["url"]).path for part in upload["parts"]]
            client.put(paths[0], content=b"0123")
            with socket.create_connection((address.hostname, address.port)) as connection:
                connection.sendall(
                    f"PUT {paths[1]} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
                    f"Authorization: {headers['Authorization']}\r\n\r\n45".encode()
                )
            read = client.get(f"/v1/uploads/{upload['id']}").json()
            assert [part["received"] for part in read["parts"]] == [True, False, False]
            missing = [part["number"] for part in read["parts"] if not part["received"]]
            for number in missing:
                client.put(paths[number - 1], content=DATA[4 * (number - 1) : 4 * number])
            stored = client.post(f"/v1/uploads/{upload['id']}/complete").json()
        assert stored["status"] == "stored"
        assert stored["sha256"] == DIGEST
        assert object_store.get_bytes(f"blobs/{DIGEST}") == DATA
        folder = settings.data_dir / "objects"
        assert [path.name for path in folder.rglob("*") if path.is_file()] == [DIGEST]

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_part_that_does_not_arrive_is_given_up(
        self,
        live_url: str,
        make_token: MakeToken,
        object_store: ObjectStore,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("api.uploads.routes._MAX_PART_SECONDS", 0.1)
        headers = {"Authorization": f"Bearer {make_token()}"}
        address = urlsplit(live_url)
        body = {"purpose": "dataset", "filename": "a.npz", "size_bytes": 10}
        upload = httpx.post(f"{live_url}/v1/uploads", json=body, headers=headers).json()
        path = urlsplit(upload["parts"][0]["url"]).path
        with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
            connection.sendall(
                f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
                f"Authorization: {headers['Authorization']}\r\n\r\n01".encode()
            )
            answer = b"".join(iter(partial(connection.recv, 1000), b""))  # until it is closed
        assert b" 408 " in answer
        assert b"body_too_slow" in answer
        assert _part_objects(object_store, upload) == []

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_announced_length_that_lies_is_refused(
        self, live_url: str, make_token: MakeToken, object_store: ObjectStore
    ) -> None:
        headers = {"Authorization": f"Bearer {make_token()}"}
        with httpx.Client(base_url=live_url, headers=headers) as client:
            body = {"purpose": "dataset", "filename": "a.npz", "size_bytes": 10}
            upload = client.post("/v1/uploads", json=body).json()
            path = urlsplit(upload["parts"][0]["url"]).path
            # Chunked: nothing is announced, so only counting helps.
            answer = client.put(path, content=iter([b"01", b"23", b"45"]))
        assert answer.status_code == 422
        assert _part_objects(object_store, upload) == []


class TestComplete:
    def test_whole_is_stored_under_its_digest_and_parts_are_gone(
        self, client: Client, upload: Json, object_store: ObjectStore
    ) -> None:
        _send(client, upload, 2, 1, 3)
        answer = client.post(f"/v1/uploads/{upload['id']}/complete")
        assert answer.status_code == 200
        stored = answer.json()
        assert stored["status"] == "stored"
        assert stored["sha256"] == DIGEST
        assert stored["stored_at"] is not None
        assert object_store.get_bytes(f"blobs/{DIGEST}") == DATA
        assert _part_objects(object_store, upload) == []

    def test_completing_again_answers_the_same(self, client: Client, upload: Json) -> None:
        _send(client, upload, 1, 2, 3)
        url = f"/v1/uploads/{upload['id']}/complete"
        assert client.post(url).json() == client.post(url).json()

    def test_missing_parts_are_named(self, client: Client, upload: Json) -> None:
        _send(client, upload, 2)
        answer = client.post(f"/v1/uploads/{upload['id']}/complete")
        assert answer.status_code == 409
        assert answer.json()["code"] == "upload_incomplete"
        details = [item["detail"] for item in answer.json()["errors"]]
        assert details == ["Part 1 has not arrived.", "Part 3 has not arrived."]

    def test_other_bytes_than_announced_are_refused(
        self, client: Client, object_store: ObjectStore
    ) -> None:
        body = {"purpose": "dataset", "filename": "a", "size_bytes": 4, "sha256": "0" * 64}
        upload = client.post("/v1/uploads", json=body).json()
        client.put(upload["parts"][0]["url"], content=b"0123")
        answer = client.post(f"/v1/uploads/{upload['id']}/complete")
        assert answer.status_code == 422
        assert answer.json()["code"] == "digest_mismatch"
        assert not object_store.exists(f"blobs/{'0' * 64}")

    def test_stored_upload_takes_no_more_parts(self, client: Client, upload: Json) -> None:
        _send(client, upload, 1, 2, 3)
        client.post(f"/v1/uploads/{upload['id']}/complete")
        answer = client.put(upload["parts"][0]["url"], content=b"0123")
        assert answer.status_code == 409


class TestAbandon:
    def test_abandoned_upload_and_its_parts_are_gone(
        self, client: Client, upload: Json, object_store: ObjectStore
    ) -> None:
        _send(client, upload, 1)
        answer = client.delete(f"/v1/uploads/{upload['id']}")
        assert answer.status_code == 204
        assert answer.content == b""
        assert client.get(f"/v1/uploads/{upload['id']}").json()["status"] == "abandoned"
        assert _part_objects(object_store, upload) == []
        assert client.post(f"/v1/uploads/{upload['id']}/complete").status_code == 409
        assert client.delete(f"/v1/uploads/{upload['id']}").status_code == 204

    def test_stored_upload_stays(self, client: Client, upload: Json) -> None:
        _send(client, upload, 1, 2, 3)
        client.post(f"/v1/uploads/{upload['id']}/complete")
        answer = client.delete(f"/v1/uploads/{upload['id']}")
        assert answer.status_code == 409
        assert answer.json()["code"] == "upload_closed"


class TestStorageDown:
    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    @pytest.mark.skipif(os.name != "posix", reason="replaces a folder by a file")
    def test_part_is_unavailable_and_not_received(
        self, client: Client, upload: Json, settings: Settings
    ) -> None:
        folder: Path = settings.data_dir / "objects"
        folder.rmdir()
        folder.write_text("a file where the folder was")
        answer = client.put(upload["parts"][0]["url"], content=b"0123")
        assert answer.status_code == 503
        assert answer.json()["code"] == "storage_unavailable"
        assert str(settings.data_dir) not in answer.text
        read = client.get(f"/v1/uploads/{upload['id']}").json()
        assert not read["parts"][0]["received"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
class TestAddress:
    @pytest.fixture
    def settings(self, settings: Settings, request: pytest.FixtureRequest) -> Settings:
        changes: Json = request.node.callspec.params.get("changes", {})
        return settings.model_copy(update=changes)

    @pytest.mark.parametrize(
        ("changes", "start"),
        [
            ({"public_url": "https://potstill.example/"}, "https://potstill.example/v1/uploads/"),
            ({"host": "0.0.0.0"}, "/v1/uploads/"),  # noqa: S104  # nothing is bound here
        ],
    )
    def test_parts_are_where_clients_reach_the_api(
        self, portal: BlockingPortal, upload: Json, changes: Json, start: str
    ) -> None:
        assert upload["parts"][0]["url"].startswith(start)
