"""Images come back in their order, whoever decodes them, and meet the same refusals.

N images, H height, W width, C channels.
"""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from kdcore.data import DatasetDescription, load_dataset
from kdcore.data.archive import Archive
from kdcore.data.decoding import choose_decoders, decoded_images
from kdcore.data.image_rows import Pixels
from kdcore.errors import DatasetRejected

Files = dict[str, bytes]
Bytes = Callable[..., bytes]
Take = Callable[..., DatasetDescription]


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode by two processes however few and small the images are."""
    monkeypatch.setattr("kdcore.data.decoding._MIN_IMAGE_PIXELS", 1)
    monkeypatch.setattr("kdcore.data.decoding._MIN_PIXELS_PER_DECODER", 1)


@pytest.mark.parametrize(
    ("image_pixels", "num_images", "max_decoders", "expected"),
    [
        (1024 * 768, 500, 4, 3),
        (1024 * 768, 5000, 4, 4),
        (1024 * 768, 50_000, 64, 8),
        (1024 * 768, 50_000, 1, 1),
        (1024 * 768, 100, 4, 1),
        (1024 * 768, 0, 4, 1),
        (32 * 32, 200_000, 4, 1),
        (224 * 224, 100_000, 4, 4),
        (4096 * 4096, 12, 4, 2),
    ],
)
def test_decoders_are_chosen_where_they_pay(
    image_pixels: int, num_images: int, max_decoders: int, expected: int
) -> None:
    found = choose_decoders(
        image_pixels=image_pixels, num_images=num_images, max_decoders=max_decoders
    )
    assert found == expected


def decode_all(data: bytes, folder: Path, *, max_decoders: int) -> list[object]:
    """Give the pixels of each entry, its size if it is not the first one's, None if undecodable."""
    path = folder / "upload.zip"
    path.write_bytes(data)
    found: list[object] = []
    with (
        Archive(path) as archive,
        contextlib.closing(
            decoded_images(archive, archive.entries, max_decoders=max_decoders, folder=folder)
        ) as images,
    ):
        for image in images:
            is_wanted = image.pixels_HWC is not None and image.size_HW == (4, 5)
            pixels = image.pixels_HWC
            found.append(
                pixels.copy().tolist() if is_wanted and pixels is not None else image.size_HW
            )
    return found


@pytest.mark.usefixtures("eager")
def test_processes_decode_in_order_what_one_decodes(
    rng: np.random.Generator, encode: Bytes, zip_of: Bytes, tmp_path: Path
) -> None:
    shapes: Sequence[tuple[int, ...]] = [(4, 5), (4, 5, 3), (4, 5, 3), (5, 4), (9, 9, 3), (4, 5)]
    files = {
        f"{number}.png": encode(rng.integers(0, 256, shapes[number % 6], dtype=np.uint8))
        for number in range(30)
    }
    files |= {"7.png": b"no image", "8.png": files["9.png"][:40]}
    alone = decode_all(zip_of(files), tmp_path, max_decoders=1)
    together = decode_all(zip_of(files), tmp_path, max_decoders=2)
    assert together == alone
    assert (len(alone), alone.count(None), alone.count((9, 9))) == (30, 2, 5)
    assert [path.name for path in tmp_path.iterdir()] == ["upload.zip"]


@pytest.mark.usefixtures("eager")
def test_dataset_is_the_same_whoever_decodes_it(
    take: Take, image_files: Files, zip_of: Bytes, tmp_path: Path
) -> None:
    image_files |= {
        f"train/cat/m{number}.png": image_files["train/cat/0.png"] for number in range(400)
    }
    image_files["train/cat/m7.png"] = b"no image"
    described = take(zip_of(image_files), "image_folder_zip", max_decoders=1)
    pixels: Pixels = np.array(load_dataset(tmp_path / "dataset").train.images_NHWC)
    (tmp_path / "dataset").rename(tmp_path / "alone")
    assert take(zip_of(image_files), "image_folder_zip", max_decoders=2) == described
    assert np.array_equal(load_dataset(tmp_path / "dataset").train.images_NHWC, pixels)


@pytest.mark.usefixtures("eager")
def test_colour_after_grey_begins_anew_with_processes_too(
    take: Take, rng: np.random.Generator, encode: Bytes, zip_of: Bytes, tmp_path: Path
) -> None:
    files = {
        f"{split}/{name}/{number}.png": encode(rng.integers(0, 256, (4, 5), dtype=np.uint8))
        for split in ("train", "test")
        for name in ("cat", "dog")
        for number in range(6)
    }
    colour = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    files["test/dog/5.png"] = encode(colour)
    assert take(zip_of(files), "image_folder_zip", max_decoders=2).image.channels == 3
    assert np.array_equal(load_dataset(tmp_path / "dataset").test.images_NHWC[-1], colour)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("fault", ["frames", "16-bit", "pixels", "nested", "bad", "checksum"])
def test_refusals_are_the_same_whoever_decodes(
    refusal: Callable[..., DatasetRejected],
    image_files: Files,
    encode: Bytes,
    zip_of: Bytes,
    fault: str,
) -> None:
    from PIL import Image  # noqa: PLC0415 - for the faulty files alone

    frames = [Image.new("L", (5, 4), value) for value in (0, 255)]
    faulty = {
        "frames": encode(frames[0], save_all=True, append_images=frames[1:]),
        "16-bit": encode(Image.new("I;16", (5, 4))),
        "pixels": encode(Image.new("1", (6000, 6000))),
        "nested": zip_of({"a": b"b"}),
        "bad": b"no image",
        "checksum": b"checksum",
    }
    image_files["train/dog/3.png"] = faulty[fault]
    data = zip_of(image_files, deflated=False).replace(b"checksum", b"checksun")
    alone = refusal(data, "image_folder_zip", max_decoders=1)
    together = refusal(data, "image_folder_zip", max_decoders=2)
    assert (together.code, together.message, together.entries) == (
        alone.code,
        alone.message,
        alone.entries,
    )
