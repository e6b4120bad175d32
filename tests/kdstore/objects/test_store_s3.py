"""Objects in S3: the same promises as in a folder, and an outage is waited out or told in time."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.servers import S3Server
from kdstore.errors import ObjectNotFound, StorageUnavailable
from kdstore.objects import ObjectStore

pytestmark = pytest.mark.xdist_group("s3")

_MEGABYTE = 1_000_000


@pytest.fixture
def objects(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """A bucket without what earlier tests left."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    store = ObjectStore.from_url(s3_server.environment["POTSTILL_OBJECTS_URL"])
    for key in list(store.list_keys("")):
        store.delete(key)
    return store


def test_bytes_files_and_streams_come_back(objects: ObjectStore, tmp_path: Path) -> None:
    data = os.urandom(12 * _MEGABYTE)  # three parts
    (tmp_path / "file").write_bytes(data)
    objects.put_bytes("a/bytes", b"bytes")
    objects.put_file("a/file", tmp_path / "file")
    objects.put_stream("a/stream", (b"x" * 700_000 for _ in range(20)))
    assert objects.get_bytes("a/bytes") == b"bytes"
    assert objects.get_bytes("a/file") == data
    assert objects.get_bytes("a/stream") == b"x" * 14_000_000
    assert (
        objects.get_bytes("a/file", start=5 * _MEGABYTE, end=7 * _MEGABYTE)
        == (data[5 * _MEGABYTE : 7 * _MEGABYTE])
    )
    assert sorted(objects.list_keys("a")) == ["a/bytes", "a/file", "a/stream"]
    assert objects.delete_prefix("a") == 3
    assert list(objects.list_keys("a")) == []


def test_missing_object_is_a_typed_error(objects: ObjectStore) -> None:
    assert not objects.exists("missing")
    with pytest.raises(ObjectNotFound):
        objects.get_bytes("missing")
    objects.delete("missing")


def test_stream_that_breaks_leaves_the_object_as_it_was(objects: ObjectStore) -> None:
    def broken() -> Iterator[bytes]:
        yield b"y" * 12_000_000
        raise ZeroDivisionError

    objects.put_bytes("key", b"old")
    with pytest.raises(ZeroDivisionError):
        objects.put_stream("key", broken())
    assert objects.get_bytes("key") == b"old"


def _read(objects: ObjectStore, _path: Path) -> None:
    objects.get_bytes("key")


def _write(objects: ObjectStore, path: Path) -> None:
    objects.put_file("key", path)


def _list(objects: ObjectStore, _path: Path) -> None:
    list(objects.list_keys(""))


@pytest.mark.parametrize(
    "use",
    [
        _read,
        pytest.param(_write, marks=pytest.mark.faults),
        pytest.param(_list, marks=pytest.mark.faults),
    ],
)
def test_storage_that_is_down_is_a_typed_error_and_works_again_afterwards(
    objects: ObjectStore,
    s3_server: S3Server,
    tmp_path: Path,
    use: Callable[[ObjectStore, Path], None],
) -> None:
    objects.put_bytes("key", b"bytes")
    (tmp_path / "file").write_bytes(b"file")
    s3_server.stop()
    with pytest.raises(StorageUnavailable):
        use(objects, tmp_path / "file")
    s3_server.start()
    use(objects, tmp_path / "file")


def test_reader_goes_on_where_it_was_after_storage_was_killed_and_started(
    objects: ObjectStore, s3_server: S3Server
) -> None:
    data = os.urandom(64 * _MEGABYTE)
    objects.put_bytes("key", data)
    chunks = objects.iter_bytes("key")
    received = [next(chunks)]
    s3_server.kill()
    s3_server.start()
    received += chunks
    assert b"".join(received) == data


@pytest.mark.faults
def test_writer_goes_on_while_storage_is_killed_and_started(
    objects: ObjectStore, s3_server: S3Server
) -> None:
    data = os.urandom(2 * _MEGABYTE)

    def stream() -> Iterator[bytes]:
        for number in range(40):
            if number == 20:
                s3_server.kill()
                s3_server.start()
            yield data

    objects.put_stream("key", stream())
    assert objects.get_bytes("key") == data * 40


@pytest.mark.faults
def test_frozen_storage_is_given_up_in_a_minute_and_used_again_once_it_thaws(
    objects: ObjectStore, s3_server: S3Server
) -> None:
    objects.put_bytes("key", b"bytes")
    s3_server.freeze()
    with pytest.raises(StorageUnavailable):
        objects.get_bytes("key")
    s3_server.thaw()
    assert objects.get_bytes("key") == b"bytes"


@pytest.mark.faults
def test_storage_that_freezes_for_a_moment_is_waited_for(
    objects: ObjectStore, s3_server: S3Server
) -> None:
    objects.put_bytes("key", b"bytes")
    s3_server.freeze()
    thaw = threading.Timer(3.0, s3_server.thaw)
    thaw.start()
    assert objects.get_bytes("key") == b"bytes"
    thaw.join()
