"""Ingest of large images by one process, and by several: seconds, side by side.

    python -m benchmarks.decoding

Images of 1024x768, digits of scikit-learn enlarged smoothly, with noise, are ingested from a zip of
class folders: as JPEG, and as PNG, which takes longer to decode. Rounds alternate, each with every
number of decoders, on a file system in memory where there is one: the disk is the same for all. CPU
seconds are those of all processes together.
"""

import argparse
import io
import os
import resource
import shutil
import statistics
import tempfile
import time
import zipfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.measuring import machine, write_result
from kdcore.data import ingest

WIDTH, HEIGHT = 1024, 768
FORMATS: dict[str, dict[str, Any]] = {"JPEG": {"quality": 90}, "PNG": {"compress_level": 1}}
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own is made there


@dataclass(frozen=True)
class Round:
    """What one ingest took."""

    wall_seconds: float
    cpu_seconds: float


def main() -> None:
    """Ingest images of both formats, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--decoders", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    load_before = os.getloadavg()
    formats = {
        image_format: measure(image_format, options.images, options.rounds, options.decoders)
        for image_format in FORMATS
    }
    write_result(
        options.out / f"decoding_{datetime.now(UTC).date()}.json",
        {
            "machine": machine(1),
            "load_before_and_after": [load_before, os.getloadavg()],
            "images": options.images,
            "size": [WIDTH, HEIGHT],
            "formats": formats,
        },
    )


def measure(
    image_format: str, num_images: int, num_rounds: int, decoders: list[int]
) -> dict[str, Any]:
    """Make the images of a format and ingest them in rounds; print and give what they took."""
    rounds: dict[int, list[Round]] = {number: [] for number in decoders}
    place = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=place) as folder:
        archive = write_zip(Path(folder) / "images.zip", image_format, num_images)
        size_bytes = archive.stat().st_size
        digests = set()
        for _ in range(num_rounds):
            for number, taken in rounds.items():
                one, digest = timed_ingest(archive, Path(folder) / "dataset", number)
                taken.append(one)
                digests.add(digest)
    assert len(digests) == 1, "all ingest the same pixels"
    for number, taken in rounds.items():
        print(f"{image_format}, {number}: {spread([each.wall_seconds for each in taken])} s")
    ratios = {number: ratios_to_one(rounds, number) for number in rounds if number > 1}
    for number, values in ratios.items():
        print(f"{image_format}, {number}, times as fast as 1: {spread(values)}")
    return {
        "zip_bytes": size_bytes,
        "rounds": {number: [asdict(each) for each in taken] for number, taken in rounds.items()},
        "times_as_fast_as_one": ratios,
    }


def write_zip(path: Path, image_format: str, num_images: int) -> Path:
    """Write the images: ten classes, every fifth image of each for the test."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(num_images):
            small = Image.fromarray((digits.images[number] * 15).astype(np.uint8)).convert("RGB")
            smooth = np.asarray(small.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
            noise = rng.normal(0, 8, smooth.shape)
            noisy = Image.fromarray((smooth + noise).clip(0, 255).astype(np.uint8))
            file = io.BytesIO()
            noisy.save(file, image_format, **FORMATS[image_format])
            split = "test" if number // 10 % 5 == 0 else "train"
            archive.writestr(f"{split}/{number % 10}/{number:05}", file.getvalue())
    return path


def timed_ingest(archive: Path, destination: Path, max_decoders: int) -> tuple[Round, str]:
    """Ingest once, and remove what was written; give the digest of the pixels too."""
    started, cpu_before = time.perf_counter(), cpu_seconds()
    description = ingest(
        archive,
        format="image_folder_zip",
        name="large",
        destination=destination,
        max_decoders=max_decoders,
    )
    taken = Round(time.perf_counter() - started, cpu_seconds() - cpu_before)
    shutil.rmtree(destination)
    return taken, description.splits["train"].images_sha256


def cpu_seconds() -> float:
    """Count what this process and its ended children have used."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def ratios_to_one(rounds: dict[int, list[Round]], number: int) -> list[float]:
    """Compare each round with that of one process beside it."""
    pairs = zip(rounds[1], rounds[number], strict=True)
    return [one.wall_seconds / several.wall_seconds for one, several in pairs]


def spread(values: list[float]) -> str:
    """Write a median with its range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
