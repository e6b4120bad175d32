"""An object is there whole or not at all, and vendors' errors do not get out."""

import asyncio
import hashlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import pytest
from obstore.store import AzureStore, GCSStore, S3Store
from pydantic import SecretStr

from kdstore.errors import ObjectNotFound, StorageError, StorageUnavailable
from kdstore.objects import ObjectStore
from kdstore.settings import Settings


@pytest.fixture(params=["folder", "memory"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    url = f"file://{tmp_path}/objects" if request.param == "folder" else "memory://"
    return ObjectStore.from_url(url)


@pytest.fixture
def folder(tmp_path: Path) -> ObjectStore:
    return ObjectStore.from_url(f"file://{tmp_path}/objects")


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_bytes_files_and_streams_come_back(objects: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"file" * 1_000_000)
    objects.put_bytes("a/bytes", b"bytes")
    objects.put_file("a/file", tmp_path / "file")
    objects.put_stream("a/stream", (b"x" * 700_000 for _ in range(5)))
    assert objects.get_bytes("a/bytes") == b"bytes"
    assert objects.get_bytes("a/file") == b"file" * 1_000_000
    assert objects.get_bytes("a/stream") == b"x" * 3_500_000
    assert objects.head("a/stream").size_bytes == 3_500_000
    assert objects.head("a/bytes").etag


def test_empty_object_is_an_object(objects: ObjectStore) -> None:
    objects.put_stream("empty", iter(()))
    assert objects.exists("empty")
    assert objects.get_bytes("empty") == b""
    assert objects.head("empty").size_bytes == 0


def test_later_object_replaces_the_earlier(objects: ObjectStore) -> None:
    objects.put_bytes("key", b"long before")
    objects.put_bytes("key", b"now")
    assert objects.get_bytes("key") == b"now"


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0, None, b"0123456789"),
        (3, None, b"3456789"),
        (3, 5, b"34"),
        (0, 100, b"0123456789"),
        (10, None, b""),
        (20, 30, b""),
        (5, 5, b""),
    ],
)
def test_ranges(objects: ObjectStore, start: int, end: int | None, expected: bytes) -> None:
    objects.put_bytes("key", b"0123456789")
    assert objects.get_bytes("key", start=start, end=end) == expected


def test_bytes_are_read_in_chunks(objects: ObjectStore) -> None:
    objects.put_stream("key", (b"x" * 500_000 for _ in range(6)))
    sizes = [len(chunk) for chunk in objects.iter_bytes("key", chunk_bytes=1_000_000)]
    assert sum(sizes) == 3_000_000
    assert len(sizes) >= 1


def test_folder_is_read_in_chunks_of_bounded_size(folder: ObjectStore) -> None:
    folder.put_stream("key", (b"x" * 500_000 for _ in range(6)))
    sizes = [len(chunk) for chunk in folder.iter_bytes("key", chunk_bytes=100_000)]
    assert max(sizes) <= 200_000


def test_stream_that_breaks_leaves_the_object_as_it_was(objects: ObjectStore) -> None:
    def broken() -> Iterator[bytes]:
        yield b"y" * 2_000_000
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        objects.put_stream("new", broken())
    assert not objects.exists("new")
    objects.put_bytes("old", b"old")
    with pytest.raises(ZeroDivisionError):
        objects.put_stream("old", broken())
    assert objects.get_bytes("old") == b"old"
    assert list(objects.list_keys("new")) == []


def test_stream_that_breaks_leaves_no_file_behind(folder: ObjectStore, tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"y" * 2_000_000
        raise OSError("the other side hung up")

    with pytest.raises(OSError, match="hung up"):
        folder.put_stream("new", broken())
    assert _files(tmp_path) == []


_KILLED = """
import os, signal, sys
from kdstore.objects import ObjectStore

def chunks():
    for _ in range(3):
        yield bytes(1024 * 1024)
    os.kill(os.getpid(), signal.SIGKILL)

ObjectStore.from_url(sys.argv[1]).put_stream("uploads/u/00001-abc", chunks())
"""


def test_what_a_killed_write_leaves_is_no_object_and_can_be_dropped(
    folder: ObjectStore, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", _KILLED, f"file://{tmp_path}/objects"]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    folder.put_bytes("uploads/u/00002-abc", b"whole")
    assert list(folder.list_keys("uploads")) == ["uploads/u/00002-abc"]
    (left,) = folder.unfinished_writes()
    assert left.key.startswith("uploads/u/00001-abc")
    assert left.modified_at <= datetime.now(UTC)
    for _ in range(2):
        folder.drop_unfinished(left)
    assert _files(tmp_path / "objects") == [tmp_path / "objects" / "uploads/u/00002-abc"]


def test_write_that_was_dropped_while_at_work_leaves_no_object(folder: ObjectStore) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(3):
            yield bytes(1024 * 1024)
        for write in folder.unfinished_writes():
            folder.drop_unfinished(write)

    with pytest.raises(OSError, match="aborted"):
        folder.put_stream("uploads/u/00001-abc", chunks())
    assert not folder.exists("uploads/u/00001-abc")


def test_memory_has_no_unfinished_writes() -> None:
    assert list(ObjectStore.from_url("memory://").unfinished_writes()) == []


def test_objects_are_made_of_objects(objects: ObjectStore) -> None:
    objects.put_bytes("part/1", b"1" * 700_000)
    objects.put_bytes("part/2", b"2" * 700_000)
    parts = (objects.iter_bytes("part/1"), objects.iter_bytes("part/2"))
    objects.put_stream("whole", chain(*parts))
    assert objects.get_bytes("whole") == b"1" * 700_000 + b"2" * 700_000


def test_small_stream_that_breaks_is_not_stored(objects: ObjectStore) -> None:
    def broken() -> Iterator[bytes]:
        yield b"y"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        objects.put_stream("new", broken())
    assert not objects.exists("new")


def test_asynchronous_stream_is_stored_whole_or_not_at_all(objects: ObjectStore) -> None:
    async def chunks(*, breaks: bool) -> AsyncIterator[bytes]:
        yield b"a" * 600_000
        if breaks:
            raise ZeroDivisionError
        yield b"b"

    asyncio.run(objects.put_stream_async("whole", chunks(breaks=False)))
    assert objects.get_bytes("whole") == b"a" * 600_000 + b"b"
    with pytest.raises(ZeroDivisionError):
        asyncio.run(objects.put_stream_async("broken", chunks(breaks=True)))
    assert not objects.exists("broken")


def test_download_writes_the_file_and_tells_its_digest(
    objects: ObjectStore, tmp_path: Path
) -> None:
    objects.put_bytes("key", b"weights")
    target = tmp_path / "deep" / "file"
    assert objects.download("key", target) == hashlib.sha256(b"weights").hexdigest()
    assert target.read_bytes() == b"weights"
    assert _files(target.parent) == [target]


class _Patience:
    """A check that has enough after some calls."""

    def __init__(self, num_calls: int) -> None:
        self._num_left = num_calls

    def __call__(self) -> None:
        self._num_left -= 1
        if self._num_left < 0:
            raise ZeroDivisionError


@pytest.mark.parametrize("num_calls", [0, 2])
def test_file_that_is_stopped_on_its_way_is_not_stored(
    objects: ObjectStore, tmp_path: Path, num_calls: int
) -> None:
    (tmp_path / "file").write_bytes(bytes(20_000_000))
    with pytest.raises(ZeroDivisionError):
        objects.put_file("a/file", tmp_path / "file", check=_Patience(num_calls))
    assert list(objects.list_keys("a")) == []
    assert _files(tmp_path / "objects") == []


@pytest.mark.parametrize("num_calls", [0, 1])
def test_download_that_is_stopped_leaves_no_file(
    objects: ObjectStore, tmp_path: Path, num_calls: int
) -> None:
    objects.put_bytes("key", bytes(8_000_000))
    with pytest.raises(ZeroDivisionError):
        objects.download("key", tmp_path / "deep" / "file", check=_Patience(num_calls))
    assert _files(tmp_path / "deep") == []


def test_missing_object_is_named_and_leaves_no_download(
    objects: ObjectStore, tmp_path: Path
) -> None:
    with pytest.raises(ObjectNotFound, match="no/such") as raised:
        objects.download("no/such", tmp_path / "deep" / "file")
    assert raised.value.key == "no/such"
    assert not (tmp_path / "deep").exists()
    with pytest.raises(ObjectNotFound):
        objects.head("no/such")
    with pytest.raises(ObjectNotFound):
        objects.iter_bytes("no/such")
    assert not objects.exists("no/such")


def test_deleting_what_is_not_there_is_fine(objects: ObjectStore) -> None:
    objects.delete("no/such")
    objects.put_bytes("key", b"1")
    objects.delete("key")
    assert not objects.exists("key")


def test_prefix_is_a_folder_and_not_the_start_of_a_name(objects: ObjectStore) -> None:
    for key in ("up/1", "up/2/3", "upper/4"):
        objects.put_bytes(key, b"1")
    assert sorted(objects.list_keys("up")) == ["up/1", "up/2/3"]
    assert objects.delete_prefix("up") == 2
    assert list(objects.list_keys("up")) == []
    assert objects.exists("upper/4")


def test_storage_that_fails_is_unavailable_without_paths_in_the_message(
    folder: ObjectStore, tmp_path: Path
) -> None:
    (tmp_path / "objects" / "file").write_bytes(b"a file where a folder must be")
    with pytest.raises(StorageUnavailable) as raised:
        folder.put_bytes("file/below", b"1")
    assert raised.value.key == "file/below"
    assert str(tmp_path) not in raised.value.message


def test_storage_that_fails_while_reading_is_unavailable(
    folder: ObjectStore, tmp_path: Path
) -> None:
    folder.put_bytes("below/key", b"1")
    (tmp_path / "objects" / "below" / "key").unlink()
    (tmp_path / "objects" / "below").rmdir()
    (tmp_path / "objects" / "below").write_text("a file where the folder was")
    with pytest.raises(StorageError):
        folder.head("below/key")
    with pytest.raises(StorageError):
        folder.delete("below/key")


def test_object_that_vanishes_before_it_is_synced_is_told(
    folder: ObjectStore, tmp_path: Path
) -> None:
    (tmp_path / "objects" / "below").mkdir()
    with pytest.raises(StorageUnavailable):
        folder._sync_to_disk("below/" + "x" * 300)  # a name that no file system takes


def test_object_in_a_folder_has_a_path_and_others_have_none(
    folder: ObjectStore, tmp_path: Path
) -> None:
    folder.put_bytes("a/b", b"1")
    path = folder.local_path("a/b")
    assert path == tmp_path / "objects" / "a" / "b"
    assert path.read_bytes() == b"1"
    assert ObjectStore.from_url("memory://").local_path("a/b") is None


def test_folder_and_memory_cannot_sign(objects: ObjectStore) -> None:
    assert not objects.can_sign
    with pytest.raises(TypeError, match="cannot sign"):
        objects.sign_get("key", expires_seconds=60)


def test_cloud_storage_signs_links_for_one_key() -> None:
    store = S3Store("bucket", region="eu-west-1", access_key_id="AKIA0", secret_access_key="secret")
    objects = ObjectStore(store)
    url = objects.sign_get("jobs/1/student.onnx", expires_seconds=60)
    assert objects.can_sign
    assert "/jobs/1/student.onnx?" in url
    assert "X-Amz-Expires=60" in url
    assert objects.sign_put("jobs/1/student.onnx", expires_seconds=60) != url


def test_cloud_url_is_opened_by_its_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert ObjectStore.from_url("s3://bucket/prefix").list_keys("x") is not None


def test_url_of_what_cannot_be_written_is_refused() -> None:
    with pytest.raises(StorageUnavailable, match="https"):
        ObjectStore.from_url("https://example.org/objects")


@pytest.mark.parametrize(
    ("url", "environment", "kind"),
    [
        ("gs://bucket/prefix", {}, GCSStore),
        ("az://container/prefix", {"AZURE_STORAGE_ACCOUNT_NAME": "account"}, AzureStore),
        ("abfss://container@account.dfs.core.windows.net/prefix", {}, AzureStore),
        ("s3://bucket/prefix", {"AWS_REGION": "eu-central-1"}, S3Store),
    ],
)
def test_cloud_is_chosen_by_url_alone(
    url: str, environment: dict[str, str], kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings(objects_url=SecretStr(url))
    store = ObjectStore.from_url(settings.objects)
    assert isinstance(store._store, kind)
    assert store.local_path("key") is None


def test_cloud_without_its_account_says_what_is_missing() -> None:
    with pytest.raises(StorageUnavailable, match="AZURE_STORAGE_ACCOUNT_NAME"):
        ObjectStore.from_url("az://container/prefix")


def test_failures_are_counted_and_a_missing_object_is_none(tmp_path: Path) -> None:
    store = ObjectStore.from_url(f"file://{tmp_path}/objects")
    assert not store.exists("nothing")
    assert store.num_failures == 0
    (tmp_path / "objects").rmdir()
    (tmp_path / "objects").write_text("a file where the folder was")
    with pytest.raises(StorageUnavailable):
        store.exists("anything")
    assert store.num_failures == 1
