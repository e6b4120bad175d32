"""Makes small datasets in every format, and checks what every refusal must keep to."""

import io
import resource
import signal
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from kdcore.data import DatasetDescription, DatasetFormat, ingest
from kdcore.errors import DatasetRejected

Pixels = npt.NDArray[np.uint8]
Files = dict[str, bytes]

_MAX_GROWTH_BYTES = 512 * 2**20
_MAX_SECONDS = 10

# Offset and struct format of the header fields that tests tamper with.
_FIELDS = {
    "local": {"flags": (6, "<H"), "method": (8, "<H"), "crc32": (14, "<L"), "packed": (18, "<L"),
              "unpacked": (22, "<L"), "name_size": (26, "<H")},
    "central": {"flags": (8, "<H"), "method": (10, "<H"), "crc32": (16, "<L"),
                "packed": (20, "<L"), "unpacked": (24, "<L"), "attributes": (38, "<L"),
                "offset": (42, "<L")},
    "end": {"entries_here": (8, "<H"), "entries": (10, "<H"), "size": (12, "<L"),
            "offset": (16, "<L"), "disk": (4, "<H")},
}  # fmt: skip
_SIGNATURES = {"local": b"PK\x03\x04", "central": b"PK\x01\x02", "end": b"PK\x05\x06"}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def encode() -> Callable[..., bytes]:
    """Encode pixels of shape H×W, H×W×3 or H×W×4, or a Pillow image, in an image format."""

    def encode_image(
        image: Pixels | Image.Image, image_format: str = "PNG", **options: Any
    ) -> bytes:
        if not isinstance(image, Image.Image):
            image = Image.fromarray(image)
        buffer = io.BytesIO()
        image.save(buffer, image_format, **options)
        return buffer.getvalue()

    return encode_image


@pytest.fixture
def image_files(rng: np.random.Generator, encode: Callable[..., bytes]) -> Files:
    """Two classes, each with six train and two test images of 5×4 colour pixels."""
    files: Files = {}
    for split, count in (("train", 6), ("test", 2)):
        for class_name in ("cat", "dog"):
            for number in range(count):
                pixels_HWC = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
                files[f"{split}/{class_name}/{number}.png"] = encode(pixels_HWC)
    return files


@pytest.fixture
def arrays(rng: np.random.Generator) -> dict[str, npt.NDArray[Any]]:
    """Twelve train and four test images of 4×5 grey pixels in two classes."""
    return {
        "x_train": rng.integers(0, 256, (12, 4, 5), dtype=np.uint8),
        "y_train": np.arange(12) % 2,
        "x_test": rng.integers(0, 256, (4, 4, 5), dtype=np.uint8),
        "y_test": np.arange(4) % 2,
    }


@pytest.fixture
def npz_of() -> Callable[[Mapping[str, npt.NDArray[Any]]], bytes]:
    def make(content: Mapping[str, npt.NDArray[Any]]) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, array in content.items():
                with archive.open(f"{name}.npy", "w") as file:
                    np.lib.format.write_array(file, array)
        return buffer.getvalue()

    return make


@pytest.fixture
def idx_files(arrays: dict[str, npt.NDArray[Any]]) -> Files:
    """The arrays as the four files of MNIST, not gzipped."""
    files: Files = {}
    for split, key in (("train", "train"), ("t10k", "test")):
        images, labels = arrays[f"x_{key}"], arrays[f"y_{key}"].astype(np.uint8)
        head = struct.pack(">4L", 0x803, *images.shape)
        files[f"{split}-images-idx3-ubyte"] = head + images.tobytes()
        files[f"{split}-labels-idx1-ubyte"] = struct.pack(">2L", 0x801, len(labels)) + bytes(labels)
    return files


@pytest.fixture
def zip_of() -> Callable[..., bytes]:
    """Zip files; `deflated` says whether they are packed."""

    def make(files: Mapping[str, bytes], *, deflated: bool = True) -> bytes:
        buffer = io.BytesIO()
        method = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for name, content in files.items():
                archive.writestr(zipfile.ZipInfo(name), content, method)
        return buffer.getvalue()

    return make


@pytest.fixture
def tamper() -> Callable[..., bytes]:
    """Overwrite fields of the n-th header of a kind."""

    def overwrite(data: bytes, record: str, number: int = 0, **fields: int) -> bytes:
        at = -1
        for _ in range(number + 1):
            at = data.index(_SIGNATURES[record], at + 1)
        changed = bytearray(data)
        for field, value in fields.items():
            offset, form = _FIELDS[record][field]
            struct.pack_into(form, changed, at + offset, value)
        return bytes(changed)

    return overwrite


@pytest.fixture
def take(tmp_path: Path) -> Callable[..., DatasetDescription]:
    """Ingest bytes into `tmp_path / "dataset"`."""

    def ingest_bytes(
        data: bytes, dataset_format: DatasetFormat, *, name: str = "shapes", **options: Any
    ) -> DatasetDescription:
        source = tmp_path / "upload"
        source.write_bytes(data)
        destination = tmp_path / "dataset"
        return ingest(source, format=dataset_format, name=name, destination=destination, **options)

    return ingest_bytes


@pytest.fixture
def refusal(tmp_path: Path) -> Callable[..., DatasetRejected]:
    """Ingest bytes that must be refused; give the rejection.

    Every refusal leaves nothing behind, touches no other file, stays within memory and time, and
    tells neither paths nor a library's words.
    """
    room = tmp_path / "room"
    room.mkdir()
    canary = room / "canary"
    canary.write_text("untouched")

    def refuse(data: bytes, dataset_format: DatasetFormat, **options: Any) -> DatasetRejected:
        source = room / "upload"
        source.write_bytes(data)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        signal.alarm(_MAX_SECONDS)
        try:
            with pytest.raises(DatasetRejected) as caught:
                ingest(
                    source,
                    format=dataset_format,
                    name="refused",
                    destination=room / "dataset",
                    **options,
                )
        finally:
            signal.alarm(0)
        growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        assert growth < _MAX_GROWTH_BYTES
        assert sorted(path.name for path in room.iterdir()) == ["canary", "upload"]
        assert canary.read_text() == "untouched"
        told = " ".join((caught.value.message, *caught.value.entries))
        for word in (str(tmp_path), "PIL", "Traceback", "Error", "zlib", "object at"):
            assert word not in told
        assert len(caught.value.entries) <= 20
        assert caught.value.message.isprintable()
        return caught.value

    return refuse
