"""A dataset three times as large as a training process may be: the same weights, and its memory.

    python -m benchmarks.larger_than_memory

Digits of 8x8, enlarged to 64x64 with noise, are uploaded to the embedded default and trained on
twice by the same job: by a worker whose training processes may take `--limit-mebibytes` beyond
torch itself (POTSTILL_TRAINING_MEMORY_BYTES), and by one without a limit. Meanwhile the memory of
the training process is read: RssAnon is what cannot be taken from it, RssFile are pages of mapped
files, which the system takes back whenever it needs them.
"""

import argparse
import os
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.measuring import machine, write_result
from kdclient import Potstill
from kdclient.services import Services

SIDE = 64
CHANNELS = 3
IMAGE_BYTES = SIDE * SIDE * CHANNELS
CHUNK_IMAGES = 2000
JOB: dict[str, Any] = {
    "kind": "train",
    "name": "larger than memory",
    "network": {"architecture": "mlp", "hidden": [64]},
    "training": {"num_epochs": 2, "batch_size": 128},
    "transfer": {"augmentation": {"name": "crop", "padding": 4}},
    "evaluation": {"latency": False},
    "exports": ["safetensors"],
}


@dataclass
class Trained:
    """What a job left, and the most memory that its training process had at once."""

    weights_sha256: str
    test_accuracy: float
    seconds: float
    whereabouts: str
    peak_anonymous_bytes: int
    peak_file_bytes: int


def main() -> None:
    """Upload, train with and without the limit, compare and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit-mebibytes", type=int, default=512)
    parser.add_argument("--times", type=float, default=3.2, help="pixels, in limits")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    limit_bytes = options.limit_mebibytes * 2**20
    num_train = int(options.times * limit_bytes / IMAGE_BYTES) + 1
    with tempfile.TemporaryDirectory() as scratch:
        data_dir = Path(scratch) / "data"
        archive = write_npz(Path(scratch) / "enlarged.npz", num_train)
        with running(data_dir, limit_bytes=limit_bytes) as client:
            upload = client.upload(archive, "dataset")
            archive.unlink()
            dataset = client.create_dataset("enlarged", upload_id=upload.id, format="npz")
            client.wait_until_ready(dataset, timeout_seconds=3600.0)
            limited = train(client, dataset.id)
        num_shards = len(list((data_dir / "objects" / "datasets").iterdir()))
        with running(data_dir, limit_bytes=0) as client:
            unlimited = train(client, dataset.id)
    assert limited.weights_sha256 == unlimited.weights_sha256
    for what, trained in (("limited", limited), ("unlimited", unlimited)):
        anonymous, of_files = (
            size_bytes / 2**20
            for size_bytes in (trained.peak_anonymous_bytes, trained.peak_file_bytes)
        )
        print(
            f"{what:10} {trained.whereabouts:24} RssAnon {anonymous:6.0f} MiB, "
            f"RssFile {of_files:6.0f} MiB, {trained.seconds:.1f} s"
        )
    write_result(
        options.out / f"larger_than_memory_{datetime.now(UTC).date()}.json",
        {
            "machine": machine(1),
            "train_images": num_train,
            "train_pixel_bytes": num_train * IMAGE_BYTES,
            "limit_bytes": limit_bytes,
            "objects_of_the_dataset": num_shards,
            "limited": asdict(limited),
            "unlimited": asdict(unlimited),
        },
    )


def write_npz(path: Path, num_train: int) -> Path:
    """Write the enlarged digits, a few megabytes at a time."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for split, size in (("train", num_train), ("test", 2000)):
            which_N = rng.integers(0, len(digits.target), size)
            header = {"descr": "|u1", "fortran_order": False}
            with archive.open(f"x_{split}.npy", "w", force_zip64=True) as file:
                shape = (size, SIDE, SIDE, CHANNELS)
                np.lib.format.write_array_header_1_0(file, header | {"shape": shape})
                for start in range(0, size, CHUNK_IMAGES):
                    small_BHW = digits.images[which_N[start : start + CHUNK_IMAGES]] * 12
                    large_BHW = small_BHW.repeat(SIDE // 8, axis=1).repeat(SIDE // 8, axis=2)
                    noise = rng.integers(0, 64, (*large_BHW.shape, CHANNELS), dtype=np.uint8)
                    file.write((large_BHW[..., None].astype(np.uint8) + noise).tobytes())
            with archive.open(f"y_{split}.npy", "w") as file:
                np.lib.format.write_array(file, digits.target[which_N].astype(np.int64))
    return path


@contextmanager
def running(data_dir: Path, *, limit_bytes: int) -> Iterator[Potstill]:
    """Run the service, its training processes within the limit; 0 for none."""
    environment = {
        **os.environ,
        "POTSTILL_TRAINING_THREADS": "1",
        "POTSTILL_TRAINING_MEMORY_BYTES": str(limit_bytes),
    }
    with Services(data_dir, environment=environment) as services:
        connection = services.start()
        with Potstill(connection.url, api_key=connection.api_key) as client:
            yield client


def train(client: Potstill, dataset_id: str) -> Trained:
    """Run the job, and watch its process."""
    started = time.perf_counter()
    with watched_memory() as peaks:
        job = client.wait_for_job(client.create_job(JOB | {"dataset": dataset_id}).id)
    if job.status != "succeeded":
        raise RuntimeError(f"{job.id} is {job.status}")
    log = "".join(line.message for line in client.log(job.id))
    (weights,) = (each for each in client.artifacts(job.id) if each.name == "network.safetensors")
    scores = client.report(job.id).columns["network"].splits["test"]
    return Trained(
        weights_sha256=weights.sha256,
        test_accuracy=scores.accuracy,
        seconds=time.perf_counter() - started,
        whereabouts=next(each for each in ("read as needed", "held in memory") if each in log),
        peak_anonymous_bytes=peaks["RssAnon"],
        peak_file_bytes=peaks["RssFile"],
    )


@contextmanager
def watched_memory() -> Iterator[dict[str, int]]:
    """Keep the most that any training process has, until the end of the block."""
    peaks = {"RssAnon": 0, "RssFile": 0}
    has_ended = threading.Event()

    def watch() -> None:
        while not has_ended.wait(0.05):
            for process in training_processes():
                for name, size_bytes in resident(process).items():
                    peaks[name] = max(peaks[name], size_bytes)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peaks
    finally:
        has_ended.set()
        thread.join()


def training_processes() -> list[psutil.Process]:
    """Find the children of the server that forks them."""
    servers = [
        process
        for process in psutil.Process().children(recursive=True)
        if "worker.fork_server" in " ".join(_command(process))
    ]
    return [child for server in servers for child in server.children()]


def _command(process: psutil.Process) -> list[str]:
    try:
        command: list[str] = process.cmdline()
    except psutil.Error:  # it has ended
        return []
    return command


def resident(process: psutil.Process) -> dict[str, int]:
    """Read the memory of a process by its kinds; nothing if it has ended."""
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    except OSError:
        return {}
    words = [line.replace(":", " ").split() for line in lines]
    return {
        each[0]: int(each[1]) * 1024 for each in words if each and each[0] in ("RssAnon", "RssFile")
    }


if __name__ == "__main__":
    main()
