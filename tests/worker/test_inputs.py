"""Inputs are fetched once, checked always, and kept within a bound."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kdstore.errors import ObjectNotFound
from kdstore.objects import ObjectStore
from worker.file_locks import file_lock
from worker.inputs import InputCache, InputDamaged, StoredFile
from worker.stopping import WorkStopped


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


def test_fetch_that_is_stopped_holds_nobody_up(
    cache: InputCache, objects: ObjectStore, tmp_path: Path
) -> None:
    def stop() -> None:
        raise WorkStopped

    file = store(objects, b"weights")
    with pytest.raises(WorkStopped):
        cache.place(file, tmp_path / "teacher", check=stop)
    cache.place(file, tmp_path / "teacher")
    assert (tmp_path / "teacher").read_bytes() == b"weights"
    assert list((tmp_path / "cache-locks").iterdir()) == []


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


def kept_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*/data"))


def test_workers_that_want_one_file_at_once_fetch_it_once(tmp_path: Path) -> None:
    objects = ObjectStore.from_url("memory://")
    file = store(objects, bytes(200))
    caches = [InputCache(tmp_path / "cache", objects, max_bytes=250) for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: caches[n].place(file, tmp_path / f"job-{n}"), range(8)))
    placed = {(tmp_path / f"job-{number}").stat().st_ino for number in range(8)}
    assert placed == {(tmp_path / "cache" / file.sha256 / "data").stat().st_ino}
    assert list((tmp_path / "cache-locks").iterdir()) == []


def test_bound_holds_while_several_fetch(tmp_path: Path) -> None:
    objects = ObjectStore.from_url("memory://")
    files = [store(objects, bytes([number]) * 100) for number in range(12)]
    caches = [InputCache(tmp_path / "cache", objects, max_bytes=250) for _ in range(4)]

    def place(number: int) -> int:
        caches[number % 4].place(files[number], tmp_path / f"job-{number}")
        return kept_bytes(tmp_path / "cache")

    with ThreadPoolExecutor(4) as threads:
        assert max(threads.map(place, range(12))) <= 250
    assert kept_bytes(tmp_path / "cache") == 200
    for number in range(12):
        assert (tmp_path / f"job-{number}").read_bytes() == bytes([number]) * 100


def test_file_larger_than_the_cache_is_placed_and_pushes_nothing_out(
    cache: InputCache, objects: ObjectStore, tmp_path: Path
) -> None:
    cache.place(store(objects, b"weights"), tmp_path / "teacher")
    cache.place(store(objects, bytes(251)), tmp_path / "dataset")
    assert (tmp_path / "dataset").read_bytes() == bytes(251)
    assert kept_bytes(tmp_path / "cache") == len(b"weights")


def test_worker_that_is_frozen_while_it_fetches_holds_nobody_up(
    objects: ObjectStore, tmp_path: Path
) -> None:
    cache = InputCache(tmp_path / "cache", objects, max_bytes=250, patience_seconds=0.2)
    file = store(objects, b"weights")
    with file_lock(tmp_path / "cache-locks" / file.sha256, patience_seconds=60.0):
        cache.place(file, tmp_path / "teacher")
    assert (tmp_path / "teacher").read_bytes() == b"weights"
    assert kept_bytes(tmp_path / "cache") == len(b"weights")
