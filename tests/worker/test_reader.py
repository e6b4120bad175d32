"""A reader that spins, swallows memory or dies decides the file, and the worker lives."""

import io
import os
import signal
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from PIL import Image

from kdstore.validation import Rejection, ValidationFence
from worker.child import Child
from worker.messages import BuiltinOrder, DatasetAccepted, DatasetOrder, IngestLimits
from worker.reader import limits_for, read_in_child
from worker.reader_watch import ReaderWatch
from worker.runtime import Runtime
from worker.undecided import Undecided, suspect

FENCE = ValidationFence("dataset", "dts_1", 1)


@pytest.fixture
def runtime(make_runtime: Callable[..., Runtime]) -> Runtime:
    """A worker whose heart does not beat: the fence here holds nothing."""
    return make_runtime(lease_seconds=7200.0, heartbeat_seconds=3600.0)


class KillingWatch(ReaderWatch):
    """A watch that sends the reader a signal when it is attached, as anyone on a machine may."""

    number = signal.SIGKILL

    def attach(self, child: Child, *, max_seconds: float) -> None:
        super().attach(child, max_seconds=max_seconds)
        os.kill(child.pid, self.number)


def digits(folder: Path, *, limits: IngestLimits | None = None) -> BuiltinOrder:
    return BuiltinOrder(
        name="digits",
        destination=folder / "dataset",
        thumbnails=folder / "thumbnails",
        limits=limits or limits_for(0),
    )


def limits_with(**changes: float) -> IngestLimits:
    return limits_for(0).model_copy(update=changes)


def test_reader_within_its_limits_answers(runtime: Runtime, tmp_path: Path) -> None:
    with ReaderWatch(runtime, FENCE) as watch:
        answer = read_in_child(runtime, digits(tmp_path), watch)
    assert isinstance(answer, DatasetAccepted)
    assert (tmp_path / "dataset" / "dataset.json").is_file()


def test_reader_that_takes_too_long_is_killed_and_its_file_rejected(
    runtime: Runtime, tmp_path: Path
) -> None:
    order = digits(tmp_path, limits=limits_with(wall_seconds=0.05))
    with ReaderWatch(runtime, FENCE) as watch:
        answer = read_in_child(runtime, order, watch)
    assert isinstance(answer, Rejection)
    assert answer.code == "validation_timed_out"


def test_reader_that_swallows_memory_has_its_file_rejected(
    runtime: Runtime, tmp_path: Path
) -> None:
    order = digits(tmp_path, limits=limits_with(memory_bytes=2**20))
    with ReaderWatch(runtime, FENCE) as watch:
        answer = read_in_child(runtime, order, watch)
    assert isinstance(answer, Rejection)
    assert answer.code in {"validation_out_of_memory", "validation_failed"}


def test_reader_that_writes_too_much_has_its_file_rejected(
    runtime: Runtime, tmp_path: Path
) -> None:
    order = digits(tmp_path, limits=limits_with(file_bytes=1024))
    with ReaderWatch(runtime, FENCE) as watch:
        answer = read_in_child(runtime, order, watch)
    assert isinstance(answer, Rejection)
    assert answer.code == "validation_too_large"


def test_reader_that_crashes_has_its_file_rejected(runtime: Runtime, tmp_path: Path) -> None:
    class CrashingWatch(KillingWatch):
        number = signal.SIGSEGV

    with CrashingWatch(runtime, FENCE) as watch:
        answer = read_in_child(runtime, digits(tmp_path), watch)
    assert isinstance(answer, Rejection)
    assert answer.code == "validation_failed"


def test_reader_killed_from_outside_decides_nothing(runtime: Runtime, tmp_path: Path) -> None:
    with KillingWatch(runtime, FENCE) as watch:
        answer = read_in_child(runtime, digits(tmp_path), watch)
    assert answer == suspect("reader_killed")


def test_reader_is_killed_when_the_worker_stops(runtime: Runtime, tmp_path: Path) -> None:
    runtime.stopping.set()
    with ReaderWatch(runtime, FENCE) as watch:
        answer = read_in_child(runtime, digits(tmp_path), watch)
    assert answer == Undecided("shutdown")


def test_reader_is_killed_when_its_validation_is_lost(
    make_runtime: Callable[..., Runtime], tmp_path: Path
) -> None:
    runtime = make_runtime(heartbeat_seconds=0.05)
    with ReaderWatch(runtime, FENCE) as watch:
        answer = read_in_child(runtime, digits(tmp_path), watch)
    assert answer == Undecided("lost")


def test_limits_grow_with_the_file() -> None:
    small, large = limits_for(10**6), limits_for(10**9)
    assert small.memory_bytes < large.memory_bytes
    assert 600 < small.wall_seconds < large.wall_seconds < small.cpu_seconds


class DecoderKillingWatch(ReaderWatch):
    """A watch that kills the first decoder that the reader starts."""

    def attach(self, child: Child, *, max_seconds: float) -> None:
        super().attach(child, max_seconds=max_seconds)
        threading.Thread(target=self._end_decoder, args=(child.pid,)).start()

    def _end_decoder(self, pid: int) -> None:
        try:
            reader = psutil.Process(pid)
            while not (decoders := reader.children()):
                time.sleep(0.01)
            decoders[0].kill()
        except psutil.NoSuchProcess:  # it has read everything: the test will say so
            return


def photographs(folder: Path) -> DatasetOrder:
    """Images that are large and many enough for processes beside the reader."""
    file = io.BytesIO()
    Image.new("L", (2000, 2000)).save(file, "JPEG")
    source = folder / "photographs.zip"
    with zipfile.ZipFile(source, "w") as archive:
        for number in range(60):
            split, label = ("train", "test")[number % 5 == 0], "ab"[number // 5 % 2]
            archive.writestr(f"{split}/{label}/{number}.jpg", file.getvalue())
    return DatasetOrder(
        source=source,
        format="image_folder_zip",
        name="photographs",
        class_names=(),
        destination=folder / "dataset",
        thumbnails=folder / "thumbnails",
        limits=limits_for(source.stat().st_size),
        max_bytes=2**30,
        max_decoders=2,
    )


def test_large_images_are_decoded_by_processes_beside_the_reader(
    runtime: Runtime, tmp_path: Path
) -> None:
    with ReaderWatch(runtime, FENCE) as watch:
        answer = read_in_child(runtime, photographs(tmp_path), watch)
    assert isinstance(answer, DatasetAccepted)
    assert (tmp_path / "dataset" / "train-images.npy").stat().st_size > 48 * 2000 * 2000


def test_decoder_killed_from_outside_decides_nothing(runtime: Runtime, tmp_path: Path) -> None:
    with DecoderKillingWatch(runtime, FENCE) as watch:
        answer = read_in_child(runtime, photographs(tmp_path), watch)
    assert answer == suspect("decoder_killed")


def test_dataset_larger_than_the_installation_takes_is_refused(
    runtime: Runtime, tmp_path: Path
) -> None:
    order = photographs(tmp_path).model_copy(update={"max_bytes": 100 * 2**20})
    with ReaderWatch(runtime, FENCE) as watch:
        answer = read_in_child(runtime, order, watch)
    assert isinstance(answer, Rejection)
    assert answer.code == "dataset_too_large"
