"""Decoders die alone, with the process that reads the dataset, and within its limits."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from kdcore.data.archive import Archive
from kdcore.data.decoder_pool import DecoderPool
from kdcore.errors import DatasetRejected, DecoderKilled

WAIT_SECONDS = 60.0
POOL = (
    "import os, resource, sys\n"
    "from pathlib import Path\n"
    "from kdcore.data.archive import Archive\n"
    "from kdcore.data.decoder_pool import DecoderPool\n"
    "from kdcore.process_memory import limit_data\n"
    "path, side, more_bytes = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])\n"
    "resource.setrlimit(resource.RLIMIT_CPU, (77, 77))\n"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (2**31, 2**31))\n"
    "limit_data(more_bytes)\n"
    "archive = Archive(path)\n"
    "pool = DecoderPool(archive.fileno(), size_HW=(side, side), num_decoders=2,\n"
    "                   folder=path.parent)\n"
    "images = pool.decode(archive.entries)\n"
)


@pytest.fixture
def path(tmp_path: Path, encode: Callable[..., bytes], zip_of: Callable[..., bytes]) -> Path:
    images = {
        f"{number}.png": encode(np.full((4, 5), number, dtype=np.uint8)) for number in range(20)
    }
    path = tmp_path / "images.zip"
    path.write_bytes(zip_of(images))
    return path


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[DecoderPool, Archive, list[psutil.Process]]]:
    with Archive(path) as archive:
        with DecoderPool(
            archive.fileno(), size_HW=(4, 5), num_decoders=2, folder=path.parent
        ) as pool:
            children = [
                each
                for each in psutil.Process().children()
                if "kdcore.data.decoder_process" in each.cmdline()
            ]
            while not pool.is_ready():
                time.sleep(0.01)
            yield pool, archive, children
        assert [each for each in children if each.is_running()] == []


def end(child: psutil.Process, number: signal.Signals) -> None:
    """Have a signal end a decoder, whose status is the pool's to collect."""
    child.send_signal(number)
    give_up_at = time.monotonic() + WAIT_SECONDS
    while child.status() != psutil.STATUS_ZOMBIE and time.monotonic() < give_up_at:
        time.sleep(0.01)


def test_images_come_in_order_and_decoders_end_with_the_pool(path: Path) -> None:
    with opened(path) as (pool, archive, children):
        assert len(children) == 2
        values = []
        for image in pool.decode(archive.entries):
            assert image.pixels_HWC is not None
            values.append(int(image.pixels_HWC[0, 0, 0]))
    assert values == [int(entry.name.removesuffix(".png")) for entry in archive.entries]


def test_pool_that_is_left_early_ends_its_decoders(path: Path) -> None:
    with opened(path) as (pool, archive, children):
        next(pool.decode(archive.entries))
        assert len(children) == 2


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGXCPU, signal.SIGABRT])
def test_image_that_crashes_its_decoder_refuses_the_dataset(
    path: Path, number: signal.Signals
) -> None:
    with opened(path) as (pool, archive, children):
        images = pool.decode(archive.entries)
        next(images)
        for child in children:
            end(child, number)
        with pytest.raises(DatasetRejected) as raised:
            list(images)
    assert raised.value.code == "image_decoder_crashed"
    # What it had answered before it died is taken first.
    assert raised.value.entries[0] in {entry.name for entry in archive.entries[1:]}


def test_decoder_that_is_killed_decides_nothing(path: Path) -> None:
    with opened(path) as (pool, archive, children):
        end(children[1], signal.SIGKILL)
        with pytest.raises(DecoderKilled):
            list(pool.decode(archive.entries))


def test_decoder_that_dies_before_it_can_decode_blames_no_image(path: Path) -> None:
    with (
        Archive(path) as archive,
        DecoderPool(archive.fileno(), size_HW=(4, 5), num_decoders=1, folder=path.parent) as pool,
    ):
        psutil.Process(pool._decoders[0].pid).send_signal(signal.SIGSEGV)
        with pytest.raises(DecoderKilled):
            list(pool.decode(archive.entries))


def pool_in_process(path: Path, then: str, *, side: int, more_bytes: int) -> list[str]:
    told = subprocess.run(
        [sys.executable, "-c", POOL + then, str(path), str(side), str(more_bytes)],
        capture_output=True,
        text=True,
        check=False,
    )
    return [*told.stdout.splitlines(), *told.stderr.splitlines()[-1:]]


def test_decoders_have_the_limits_of_the_process_that_reads(path: Path) -> None:
    then = (
        "print(resource.getrlimit(resource.RLIMIT_DATA)[0])\n"
        "next(images)\n"
        "next(images)\n"
        "for each in pool._decoders:\n"
        "    for line in open(f'/proc/{each.pid}/limits'):\n"
        "        print(line)\n"
    )
    own, *lines = pool_in_process(path, then, side=4, more_bytes=2**29)
    limits = [line.split() for line in lines if line.startswith("Max ")]
    of_cpu = [words[4] for words in limits if words[1:3] == ["cpu", "time"]]
    of_files = [words[4] for words in limits if words[1:3] == ["file", "size"]]
    of_cores = [words[5] for words in limits if words[1:3] == ["core", "file"]]
    of_data = [int(words[3]) for words in limits if words[1:3] == ["data", "size"]]
    assert (of_cpu, of_files, of_cores) == (["77"] * 2, [str(2**31)] * 2, ["0"] * 2)
    assert len(of_data) == 2
    assert max(of_data) <= int(own)


def test_image_beyond_a_decoder_s_memory_is_told_as_such(tmp_path: Path) -> None:
    path = tmp_path / "large.zip"
    with zipfile.ZipFile(path, "w") as archive, archive.open("large.png", "w") as file:
        Image.new("RGB", (4900, 4900)).save(file, "PNG")
    then = "try:\n    next(images)\nexcept MemoryError:\n    print('too much')\n"
    told = pool_in_process(path, then, side=4, more_bytes=48 * 2**20)
    assert told[0] == "too much"


def test_decoders_die_with_the_process_that_reads(path: Path) -> None:
    then = "print(*[each.pid for each in pool._decoders], flush=True)\nos.read(0, 1)\n"
    reader = subprocess.Popen(
        [sys.executable, "-c", POOL + then, str(path), "4", str(2**29)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with reader:
        assert reader.stdout is not None
        decoders = [psutil.Process(int(pid)) for pid in reader.stdout.readline().split()]
        os.kill(reader.pid, signal.SIGKILL)
    assert len(decoders) == 2
    _, alive = psutil.wait_procs(decoders, timeout=WAIT_SECONDS)
    assert alive == []


def test_decoders_load_no_torch() -> None:
    text = "import sys, kdcore.data.decoder_process; print('torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"
