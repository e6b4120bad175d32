"""With storage that signs links the bytes go past the API, and through it where they must."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from deploy.servers import S3Server
from kdclient import ApiProblem, Potstill, uploads
from kdclient.downloads import download_all
from kdclient.resources import Artifact
from kdclient.transport import Call, Transport
from kdcore.spec import Mlp, TrainJob
from kdstore import jobs, workspaces
from kdstore.artifacts import NewArtifact, artifact_key
from kdstore.db import SessionFactory, transaction
from kdstore.objects import ObjectStore
from kdstore.settings import Settings
from kdstore.tables import Role

SIZE = 2500  # three parts of 1000, as the settings of these tests say

pytestmark = [
    pytest.mark.xdist_group("s3"),
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
]


@pytest.fixture
def settings(settings: Settings, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Objects in S3, and small parts."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    url = SecretStr(s3_server.environment["POTSTILL_OBJECTS_URL"])
    return settings.model_copy(update={"objects_url": url, "part_size_bytes": 1000})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of three parts that no other test has."""
    path = tmp_path / "teacher.safetensors"
    path.write_bytes(hashlib.sha256(str(tmp_path).encode()).digest() * (SIZE // 32) + bytes(4))
    assert path.stat().st_size == SIZE
    return path


@pytest.fixture
def transport(potstill: Potstill) -> Transport:
    return potstill._transport


def open_upload(transport: Transport, path: Path, *, with_sha256: bool = True) -> dict[str, object]:
    body = {"purpose": "checkpoint", "filename": path.name, "size_bytes": SIZE}
    if with_sha256:
        body["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    answer: dict[str, object] = transport.send(Call("POST", "v1/uploads", json=body)).json()
    return answer


def part_urls(upload: dict[str, object]) -> list[str]:
    parts = upload["parts"]
    assert isinstance(parts, list)
    return [part["url"] for part in parts]


def put(url: str, data: bytes) -> None:
    assert httpx.put(url, content=data).status_code == 200


def test_parts_go_to_storage_and_the_whole_is_checked(
    potstill: Potstill, transport: Transport, s3_server: S3Server, path: Path
) -> None:
    urls = part_urls(open_upload(transport, path))
    assert len(urls) == 3
    assert all(url.startswith(f"{s3_server.endpoint}/") and "Signature" in url for url in urls)
    upload = potstill.upload(path, "checkpoint")
    assert upload.status == "stored"
    assert upload.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("with_sha256", [True, False])
def test_upload_goes_on_with_the_parts_that_are_missing(
    transport: Transport, path: Path, *, with_sha256: bool
) -> None:
    upload = open_upload(transport, path, with_sha256=with_sha256)
    data = path.read_bytes()
    put(part_urls(upload)[0], data[:1000])
    put(part_urls(upload)[1], data[1000:1999])  # a byte too few is as good as nothing
    route = f"v1/uploads/{upload['id']}"
    received = transport.send(Call("GET", route)).json()["parts"]
    assert [part["received"] for part in received] == [True, False, False]
    with pytest.raises(ApiProblem) as refused:
        transport.send(Call("POST", f"{route}/complete"))
    assert refused.value.code == "upload_incomplete"
    put(part_urls(upload)[1], data[1000:2000])
    # One part may come through the API, another by its link.
    transport.send(Call("PUT", f"{route}/parts/3", content=lambda: [data[2000:]]))
    done = transport.send(Call("POST", f"{route}/complete")).json()
    assert (done["status"], done["sha256"]) == ("stored", hashlib.sha256(data).hexdigest())


def test_other_bytes_than_were_announced_are_refused(transport: Transport, path: Path) -> None:
    upload = open_upload(transport, path)
    for number, url in enumerate(part_urls(upload)):
        put(url, bytes(1000 if number < 2 else 500))
    with pytest.raises(ApiProblem) as refused:
        transport.send(Call("POST", f"v1/uploads/{upload['id']}/complete"))
    assert refused.value.code == "digest_mismatch"


class TestDamagedPart:
    """Of the right size, so that only the whole tells, when it is hashed."""

    def test_file_that_was_rewritten_and_restored_meanwhile_arrives_as_it_is(
        self, potstill: Potstill, path: Path
    ) -> None:
        data = path.read_bytes()
        arrived: list[int] = []

        def rewrite(num_bytes: int) -> None:
            arrived.append(num_bytes)
            if len(arrived) == 1:  # nothing has been sent yet
                path.write_bytes(bytes(SIZE))
            elif len(arrived) == 4:  # three parts have
                path.write_bytes(data)

        upload = potstill.upload(path, "checkpoint", on_bytes=rewrite)
        assert (upload.status, upload.sha256) == ("stored", hashlib.sha256(data).hexdigest())
        assert sum(arrived) == SIZE

    @pytest.mark.parametrize("by_link", [True, False])
    def test_same_file_again_mends_an_upload_that_was_left_damaged(
        self, potstill: Potstill, transport: Transport, path: Path, *, by_link: bool
    ) -> None:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        source = uploads._Source(path, SIZE, sha256)
        begun = uploads._begin(transport, source, purpose="checkpoint")
        if by_link:
            put(begun.parts[1].url, bytes(1000))
        else:
            route = f"v1/uploads/{begun.id}/parts/2"
            transport.send(Call("PUT", route, content=lambda: [bytes(1000)]))
        upload = potstill.upload(path, "checkpoint")
        assert (upload.id, upload.status, upload.sha256) == (begun.id, "stored", sha256)


def test_link_writes_its_own_part_and_nothing_else(transport: Transport, path: Path) -> None:
    first, second, _ = part_urls(open_upload(transport, path))
    signature = first.partition("?")[2]
    place = second.partition("?")[0]
    assert httpx.put(f"{place}?{signature}", content=b"x").status_code == 403
    assert httpx.get(first).status_code == 403


class TestUnreachableStorage:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        """Clients are told of an endpoint that they do not reach."""
        return settings.model_copy(update={"objects_public_endpoint": "http://127.0.0.1:9"})

    def test_client_sends_through_the_service(
        self, api_url: str, make_token: Callable[[Role], str], path: Path, naps: list[float]
    ) -> None:
        with Potstill(api_url, make_token("admin"), sleep=naps.append) as client:
            assert client.upload(path, "checkpoint").status == "stored"


@pytest.fixture
def artifact(
    session_factory: SessionFactory, settings: Settings, path: Path, potstill: Potstill
) -> Artifact:
    """A file of a finished job."""
    data = path.read_bytes()
    with transaction(session_factory) as session:
        workspace = workspaces.ensure(session, name="ours")
        spec = TrainJob(dataset="digits", network=Mlp(hidden=(8,)))
        job = jobs.create(session, workspace_id=workspace.id, spec=spec)
        claim = jobs.claim(session, job.id, worker="w", device="cpu", lease_seconds=60.0)
        assert claim is not None
        stored = NewArtifact(
            name="student.onnx",
            object_key=artifact_key(job_id=job.id, attempt=1, name="student.onnx"),
            size_bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            media_type="application/octet-stream",
        )
        jobs.finish(session, claim.fence, result={}, report={}, artifacts=[stored])
    objects = ObjectStore.from_url(settings.objects)
    objects.put_file(
        stored.object_key,
        path,
        attributes={"Content-Disposition": 'attachment; filename="student.onnx"'},
    )
    (found,) = potstill.artifacts(job.id)
    return found


def test_download_is_sent_on_to_storage_with_a_name_and_ranges(
    transport: Transport, s3_server: S3Server, artifact: Artifact, path: Path
) -> None:
    answer = httpx.get(artifact.url, headers={"Authorization": f"Bearer {transport._api_key}"})
    link = answer.headers["Location"]
    assert (answer.status_code, answer.headers["Cache-Control"]) == (307, "no-store")
    assert link.startswith(f"{s3_server.endpoint}/")
    whole = httpx.get(link)
    assert whole.content == path.read_bytes()
    assert whole.headers["Content-Disposition"] == 'attachment; filename="student.onnx"'
    piece = httpx.get(link, headers={"Range": "bytes=100-199"})
    assert (piece.status_code, piece.content) == (206, path.read_bytes()[100:200])


def test_client_downloads_from_storage_and_goes_on_where_it_was(
    transport: Transport, artifact: Artifact, path: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "downloaded"
    folder.mkdir()
    (folder / ".student.onnx.part").write_bytes(path.read_bytes()[:700])
    (found,) = download_all(transport, [artifact], folder, on_bytes=lambda _: None)
    assert found.read_bytes() == path.read_bytes()


def test_who_asks_for_it_has_the_bytes_from_the_api(
    transport: Transport, artifact: Artifact, path: Path
) -> None:
    answer = transport.send(Call("GET", artifact.url, params={"direct": "false"}))
    assert (answer.status_code, answer.content) == (200, path.read_bytes())
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
