"""Files arrive whole and checked, in parts, and an interrupted upload goes on."""

import hashlib
import json
import threading
from pathlib import Path

import pytest

from kdclient import ApiProblem, ConnectionFailed, Potstill, uploads
from kdclient.transport import Transport
from kdstore.db import SessionFactory, reading
from kdstore.objects import ObjectStore
from kdstore.settings import Settings
from kdstore.tables import UploadPart
from tests.kdclient.scripted_server import (
    ScriptedServer,
    hang_up,
    json_reply,
    problem_reply,
)

SIZE = 2500  # three parts of 1000, as the settings of these tests say

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of three parts, each different."""
    path = tmp_path / "teacher.safetensors"
    path.write_bytes(bytes(number % 251 for number in range(SIZE)))
    return path


def upload_document(*, status: str = "pending", received: tuple[int, ...] = ()) -> object:
    return {
        "id": "upl_1",
        "status": status,
        "size_bytes": SIZE,
        "part_size_bytes": 1000,
        "parts": [
            {
                "number": number,
                "url": f"/v1/uploads/upl_1/parts/{number}",
                "received": number in received,
            }
            for number in (1, 2, 3)
        ],
    }


@on_sqlite
class TestAgainstTheService:
    def test_file_arrives_whole(self, potstill: Potstill, path: Path) -> None:
        arrived: list[int] = []
        upload = potstill.upload(path, "checkpoint", on_bytes=arrived.append)
        assert upload.status == "stored"
        assert upload.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert sum(arrived) == SIZE
        assert len(arrived) == 4  # what was there before, which is nothing, and three parts

    def test_same_file_again_is_the_same_upload(self, potstill: Potstill, path: Path) -> None:
        first = potstill.upload(path, "checkpoint")
        arrived: list[int] = []
        assert potstill.upload(path, "checkpoint", on_bytes=arrived.append).id == first.id
        assert arrived == [SIZE]

    def test_same_file_for_another_purpose_is_another_upload(
        self, potstill: Potstill, path: Path
    ) -> None:
        assert potstill.upload(path, "checkpoint").id != potstill.upload(path, "dataset").id

    def test_abandoned_upload_is_begun_anew(self, potstill: Potstill, path: Path) -> None:
        path.write_bytes(b"x" * SIZE)
        transport = potstill._transport
        first = _begin_and_leave(transport, path)
        potstill.abandon_upload(first)
        again = potstill.upload(path, "checkpoint")
        assert again.id != first
        assert again.status == "stored"

    def test_interrupted_upload_goes_on_with_the_missing_parts(
        self, potstill: Potstill, path: Path, session_factory: SessionFactory
    ) -> None:
        transport = potstill._transport
        first = _begin_and_leave(transport, path, parts=(2,))
        arrived: list[int] = []
        upload = potstill.upload(path, "checkpoint", on_bytes=arrived.append)
        assert upload.id == first
        assert arrived[0] == 1000
        with reading(session_factory) as session:
            assert session.query(UploadPart).count() == 3

    def test_part_that_was_damaged_on_its_way_is_sent_again(
        self, potstill: Potstill, path: Path
    ) -> None:
        transport = potstill._transport
        first = _begin_and_leave(transport, path, parts=(2,), damaged=True)
        upload = potstill.upload(path, "checkpoint")
        assert (upload.id, upload.status) == (first, "stored")
        assert upload.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()

    def test_parts_that_storage_damaged_are_sent_again(
        self, potstill: Potstill, path: Path, settings: Settings
    ) -> None:
        objects = ObjectStore.from_url(settings.objects)
        first = _begin_and_leave(potstill._transport, path, parts=(1, 2))
        [key, _] = objects.list_sizes(f"uploads/{first}")
        objects.put_bytes(key, b"\0" * 1000)
        arrived: list[int] = []
        upload = potstill.upload(path, "checkpoint", on_bytes=arrived.append)
        assert (upload.id, upload.status) == (first, "stored")
        assert arrived[:3] == [2000, 500, -SIZE]
        assert sum(arrived) == SIZE

    def test_file_that_changes_while_it_is_sent_is_refused_and_not_sent_again(
        self, potstill: Potstill, path: Path
    ) -> None:
        arrived: list[int] = []

        def change(num_bytes: int) -> None:
            arrived.append(num_bytes)
            path.write_bytes(b"\0" * SIZE)

        with pytest.raises(ApiProblem) as caught:
            potstill.upload(path, "checkpoint", on_bytes=change)
        assert caught.value.code == "digest_mismatch"
        assert sorted(arrived) == [0, 500, 1000, 1000]


def _begin_and_leave(
    transport: Transport, path: Path, *, parts: tuple[int, ...] = (), damaged: bool = False
) -> str:
    """Begin an upload as the client does, send some parts, and go away."""
    source = uploads._Source(path, SIZE, hashlib.sha256(path.read_bytes()).hexdigest())
    upload = uploads._begin(transport, source, purpose="checkpoint")
    for part in upload.parts:
        if part.number in parts:
            if damaged:
                source = uploads._Source(_damaged(path), SIZE, source.sha256)
            uploads._send_part(transport, source, upload, part, links_fail=threading.Event())
    return upload.id


def _damaged(path: Path) -> Path:
    other = path.with_suffix(".damaged")
    other.write_bytes(b"\0" * SIZE)
    return other


class TestOverABadLine:
    def test_parts_lost_by_the_service_are_sent_again(
        self, scripted: ScriptedServer, transport: Transport, path: Path
    ) -> None:
        scripted.on("POST", "/v1/uploads", json_reply(upload_document(), 201))
        scripted.on(
            "GET",
            "/v1/uploads/upl_1",
            json_reply(upload_document(received=(1, 2, 3))),
            json_reply(upload_document(received=(1, 3))),
        )
        scripted.on("PUT", "/v1/uploads/upl_1/parts/2", json_reply({}))
        scripted.on(
            "POST",
            "/v1/uploads/upl_1/complete",
            problem_reply(409, "upload_incomplete"),
            json_reply(upload_document(status="stored")),
        )
        upload = uploads.upload_file(transport, path, purpose="dataset", on_bytes=lambda _: None)
        assert upload.status == "stored"
        [put] = scripted.asked_for("PUT", "/v1/uploads/upl_1/parts/2")
        assert put.body == path.read_bytes()[1000:2000]
        assert put.headers["content-length"] == "1000"

    def test_part_whose_answer_was_lost_is_sent_again(
        self, scripted: ScriptedServer, transport: Transport, path: Path
    ) -> None:
        pending = json_reply(upload_document(received=(1, 2)))
        scripted.on("POST", "/v1/uploads", pending)
        scripted.on("GET", "/v1/uploads/upl_1", pending)
        scripted.on("PUT", "/v1/uploads/upl_1/parts/3", hang_up(), json_reply({}))
        scripted.on(
            "POST",
            "/v1/uploads/upl_1/complete",
            hang_up(),
            json_reply(upload_document(status="stored")),
        )
        uploads.upload_file(transport, path, purpose="dataset", on_bytes=lambda _: None)
        bodies = [each.body for each in scripted.asked_for("PUT", "/v1/uploads/upl_1/parts/3")]
        assert bodies == [path.read_bytes()[2000:]] * 2

    def test_service_that_stays_away_leaves_the_rest_unsent(
        self, scripted: ScriptedServer, transport: Transport, path: Path
    ) -> None:
        scripted.on("POST", "/v1/uploads", json_reply(upload_document()))
        scripted.on("GET", "/v1/uploads/upl_1", json_reply(upload_document()))
        for number in (1, 2, 3):
            scripted.on("PUT", f"/v1/uploads/upl_1/parts/{number}", hang_up())
        with pytest.raises(ConnectionFailed):
            uploads.upload_file(transport, path, purpose="dataset", on_bytes=lambda _: None)
        assert not scripted.asked_for("POST", "/v1/uploads/upl_1/complete")

    def test_upload_that_was_swept_is_begun_anew(
        self, scripted: ScriptedServer, transport: Transport, path: Path
    ) -> None:
        scripted.on("POST", "/v1/uploads", json_reply(upload_document(), 201))
        scripted.on(
            "GET",
            "/v1/uploads/upl_1",
            problem_reply(404, "upload_not_found"),
            json_reply(upload_document(status="stored")),
        )
        uploads.upload_file(transport, path, purpose="dataset", on_bytes=lambda _: None)
        keys = [
            each.headers["idempotency-key"] for each in scripted.asked_for("POST", "/v1/uploads")
        ]
        assert len(set(keys)) == 2

    def test_creation_says_what_is_coming(
        self, scripted: ScriptedServer, transport: Transport, path: Path
    ) -> None:
        scripted.on("POST", "/v1/uploads", json_reply(upload_document(status="stored")))
        scripted.on("GET", "/v1/uploads/upl_1", json_reply(upload_document(status="stored")))
        uploads.upload_file(transport, path, purpose="dataset", on_bytes=lambda _: None)
        assert json.loads(scripted.asked[0].body) == {
            "purpose": "dataset",
            "filename": "teacher.safetensors",
            "size_bytes": SIZE,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
