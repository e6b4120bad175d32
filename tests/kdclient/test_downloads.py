"""Downloads go on where they broke, and nothing damaged or outside its folder is ever kept."""

import hashlib
from pathlib import Path

import pytest

from kdclient import ConnectionFailed, DigestMismatch, UnexpectedAnswer
from kdclient.downloads import download_all
from kdclient.resources import Artifact
from kdclient.transport import Transport
from tests.kdclient.scripted_server import Reply, ScriptedServer

DATA = bytes(range(256)) * 20
URL = "/v1/jobs/job_1/artifacts/student.onnx"


def artifact(*, data: bytes = DATA, name: str = "student.onnx") -> Artifact:
    return Artifact(
        name=name,
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        media_type="application/octet-stream",
        url=URL,
    )


def whole() -> Reply:
    return Reply(body=DATA)


def rest_from(start: int) -> Reply:
    return Reply(206, DATA[start:], {"Content-Range": f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"})


@pytest.fixture
def arrived() -> list[int]:
    """What `on_bytes` was told."""
    return []


def download(
    transport: Transport, folder: Path, arrived: list[int], wanted: Artifact | None = None
) -> Path:
    [path] = download_all(transport, [wanted or artifact()], folder, on_bytes=arrived.append)
    return path


def test_file_arrives_whole_in_a_new_folder(
    scripted: ScriptedServer, transport: Transport, tmp_path: Path, arrived: list[int]
) -> None:
    scripted.on("GET", URL, whole())
    path = download(transport, tmp_path / "new", arrived)
    assert path.read_bytes() == DATA
    assert sum(arrived) == len(DATA)
    assert [each.name for each in (tmp_path / "new").iterdir()] == ["student.onnx"]


def test_broken_download_goes_on_where_it_stopped(
    scripted: ScriptedServer, transport: Transport, tmp_path: Path, arrived: list[int]
) -> None:
    scripted.on("GET", URL, Reply(body=DATA, cut_after=100), rest_from(100))
    assert download(transport, tmp_path, arrived).read_bytes() == DATA
    assert "range" not in scripted.asked[0].headers
    assert scripted.asked[1].headers["range"] == "bytes=100-"
    assert sum(arrived) == len(DATA)


def test_download_of_an_earlier_run_goes_on(
    scripted: ScriptedServer, transport: Transport, tmp_path: Path, arrived: list[int]
) -> None:
    (tmp_path / ".student.onnx.part").write_bytes(DATA[:300])
    scripted.on("GET", URL, rest_from(300))
    assert download(transport, tmp_path, arrived).read_bytes() == DATA
    assert scripted.asked[0].headers["range"] == "bytes=300-"


def test_service_without_ranges_sends_it_from_the_start(
    scripted: ScriptedServer, transport: Transport, tmp_path: Path, arrived: list[int]
) -> None:
    (tmp_path / ".student.onnx.part").write_bytes(DATA[:300])
    scripted.on("GET", URL, whole())
    assert download(transport, tmp_path, arrived).read_bytes() == DATA
    assert sum(arrived) == len(DATA)


def test_beginning_of_another_file_is_thrown_away(
    scripted: ScriptedServer, transport: Transport, tmp_path: Path, arrived: list[int]
) -> None:
    (tmp_path / ".student.onnx.part").write_bytes(b"\xff" * 300)
    scripted.on("GET", URL, rest_from(300), whole())
    assert download(transport, tmp_path, arrived).read_bytes() == DATA


def test_damaged_file_is_not_kept(
    scripted: ScriptedServer, transport: Transport, tmp_path: Path, arrived: list[int]
) -> None:
    scripted.on("GET", URL, Reply(body=b"\0" * len(DATA)))
    with pytest.raises(DigestMismatch, match=r"student\.onnx"):
        download(transport, tmp_path, arrived)
    assert list(tmp_path.iterdir()) == []


def test_file_that_is_there_is_not_downloaded(
    transport: Transport, tmp_path: Path, arrived: list[int], scripted: ScriptedServer
) -> None:
    (tmp_path / "student.onnx").write_bytes(DATA)
    download(transport, tmp_path, arrived)
    assert scripted.asked == []
    assert arrived == [len(DATA)]


def test_changed_file_is_replaced(
    scripted: ScriptedServer, transport: Transport, tmp_path: Path, arrived: list[int]
) -> None:
    (tmp_path / "student.onnx").write_bytes(b"something else")
    scripted.on("GET", URL, whole())
    assert download(transport, tmp_path, arrived).read_bytes() == DATA


def test_line_that_keeps_breaking_is_given_up_and_what_came_stays(
    scripted: ScriptedServer, transport: Transport, tmp_path: Path, arrived: list[int]
) -> None:
    scripted.on("GET", URL, Reply(body=DATA, cut_after=100), Reply(206, DATA[100:], cut_after=0))
    with pytest.raises(ConnectionFailed):
        download(transport, tmp_path, arrived)
    assert (tmp_path / ".student.onnx.part").read_bytes() == DATA[:100]


@pytest.mark.parametrize("name", ["../student.onnx", "/etc/passwd", ".bashrc", "a\\b", "", "a\nb"])
def test_name_that_leads_out_of_the_folder_is_refused(
    transport: Transport, tmp_path: Path, arrived: list[int], name: str
) -> None:
    with pytest.raises(UnexpectedAnswer, match="no name of a file of ours"):
        download(transport, tmp_path, arrived, artifact(name=name))


def test_empty_file_needs_no_request(
    transport: Transport, tmp_path: Path, arrived: list[int], scripted: ScriptedServer
) -> None:
    assert download(transport, tmp_path, arrived, artifact(data=b"")).read_bytes() == b""
    assert scripted.asked == []
