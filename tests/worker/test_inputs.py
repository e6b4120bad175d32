"""Inputs are fetched once, checked always, and kept within a bound."""

import hashlib
import os
from pathlib import Path

import pytest

from kdstore.errors import ObjectNotFound
from kdstore.objects import ObjectStore
from worker.inputs import InputCache, InputDamaged, StoredFile


def store(objects: ObjectStore, data: bytes) -> StoredFile:
    sha256 = hashlib.sha256(data).hexdigest()
    objects.put_bytes(f"blobs/{sha256}", data)
    return StoredFile(f"blobs/{sha256}", sha256)


@pytest.fixture(params=["file", "memory"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """Storage on this machine's disk, and storage that must be downloaded from."""
    url = {"file": f"file://{tmp_path / 'objects'}", "memory": "memory://"}[request.param]
    return ObjectStore.from_url(url)


@pytest.fixture
def cache(objects: ObjectStore, tmp_path: Path) -> InputCache:
    return InputCache(tmp_path / "cache", objects, max_bytes=250)


def test_file_is_placed_with_its_bytes(
    cache: InputCache, objects: ObjectStore, tmp_path: Path
) -> None:
    cache.place(store(objects, b"weights"), tmp_path / "job" / "teacher")
    assert (tmp_path / "job" / "teacher").read_bytes() == b"weights"


def test_second_job_needs_no_storage(
    cache: InputCache, objects: ObjectStore, tmp_path: Path
) -> None:
    file = store(objects, b"weights")
    cache.place(file, tmp_path / "first")
    objects.delete(file.object_key)
    cache.place(file, tmp_path / "second")
    assert (tmp_path / "second").read_bytes() == b"weights"


def test_placing_again_replaces_what_an_earlier_try_left(
    cache: InputCache, objects: ObjectStore, tmp_path: Path
) -> None:
    (tmp_path / "teacher").write_bytes(b"half")
    cache.place(store(objects, b"weights"), tmp_path / "teacher")
    assert (tmp_path / "teacher").read_bytes() == b"weights"


def test_damaged_object_is_refused_and_not_kept(
    cache: InputCache, objects: ObjectStore, tmp_path: Path
) -> None:
    file = store(objects, b"weights")
    objects.put_bytes(file.object_key, b"wrights")
    for _ in range(2):
        with pytest.raises(InputDamaged) as raised:
            cache.place(file, tmp_path / "teacher")
        assert raised.value.object_key == file.object_key
    assert not (tmp_path / "teacher").exists()


def test_missing_object_is_a_typed_error(cache: InputCache, tmp_path: Path) -> None:
    with pytest.raises(ObjectNotFound):
        cache.place(StoredFile("blobs/none", "0" * 64), tmp_path / "teacher")


def test_longest_unused_file_goes_first_and_a_used_one_stays_with_its_job(
    cache: InputCache, objects: ObjectStore, tmp_path: Path
) -> None:
    files = [store(objects, bytes([number]) * 100) for number in range(3)]
    for number, file in enumerate(files[:2]):
        cache.place(file, tmp_path / f"job-{number}")
    for age, file in ((100, files[1]), (50, files[0])):  # the first was used last
        os.utime(tmp_path / "cache" / file.sha256, (age, 1_000_000 - age))
    cache.place(files[2], tmp_path / "job-2")
    kept = {path.name for path in (tmp_path / "cache").iterdir()}
    assert kept == {files[0].sha256, files[2].sha256}
    assert (tmp_path / "job-1").read_bytes() == bytes([1]) * 100


def test_using_a_file_does_not_touch_the_stored_object(
    cache: InputCache, objects: ObjectStore, tmp_path: Path
) -> None:
    file = store(objects, b"weights")
    before = objects.head(file.object_key)
    for number in range(2):
        cache.place(file, tmp_path / f"job-{number}")
    assert objects.head(file.object_key) == before


def test_unchecked_fetch_takes_what_is_there(
    cache: InputCache, objects: ObjectStore, tmp_path: Path
) -> None:
    objects.put_bytes("jobs/job_1/checkpoints/1", b"state")
    cache.fetch("jobs/job_1/checkpoints/1", tmp_path / "run" / "checkpoint")
    assert (tmp_path / "run" / "checkpoint").read_bytes() == b"state"
    assert not (tmp_path / "cache").exists()


def test_local_storage_names_its_files_and_remote_storage_has_none(tmp_path: Path) -> None:
    local = ObjectStore.from_url(f"file://{tmp_path}/objects")
    local.put_bytes("a/b", b"c")
    path = local.local_path("a/b")
    assert path is not None
    assert path.read_bytes() == b"c"
    assert ObjectStore.from_url("memory://").local_path("a/b") is None
