"""Strangers' pictures become 8-bit pixels, or are refused by what their bytes are."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kdcore.data import DatasetDescription
from kdcore.data.images import ImageUndecodable, decode_image
from kdcore.errors import DatasetRejected

Files = dict[str, bytes]
Refusal = Callable[..., DatasetRejected]
Bytes = Callable[..., bytes]
Pixels = npt.NDArray[np.uint8]
_REFUSALS = ("image_too_large", "image_many_frames", "image_16_bit")


@pytest.fixture
def grey_HW(rng: np.random.Generator) -> Pixels:
    return rng.integers(0, 256, (4, 5), dtype=np.uint8)


@pytest.fixture
def rgb_HWC(rng: np.random.Generator) -> Pixels:
    return rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)


def test_a_grey_png_keeps_every_value(grey_HW: Pixels, encode: Bytes) -> None:
    decoded_HWC = decode_image(encode(grey_HW), name="x")
    assert decoded_HWC.shape == (4, 5, 1)
    assert np.array_equal(decoded_HWC[..., 0], grey_HW)


@pytest.mark.parametrize(("image_format", "lossless"), [("PNG", False), ("WEBP", True)])
def test_a_lossless_colour_picture_keeps_every_value(
    rgb_HWC: Pixels, encode: Bytes, image_format: str, *, lossless: bool
) -> None:
    options = {"lossless": True} if lossless else {}
    assert np.array_equal(decode_image(encode(rgb_HWC, image_format, **options), name="x"), rgb_HWC)


def test_a_jpeg_keeps_its_channels(grey_HW: Pixels, rgb_HWC: Pixels, encode: Bytes) -> None:
    assert decode_image(encode(grey_HW, "JPEG"), name="x").shape == (4, 5, 1)
    flat_HWC = np.full((16, 16, 3), (200, 100, 50), dtype=np.uint8)
    decoded_HWC = decode_image(encode(flat_HWC, "JPEG", quality=95), name="x")
    assert np.abs(decoded_HWC.astype(int) - flat_HWC).max() <= 3


def test_alpha_is_dropped_without_blending(
    rng: np.random.Generator, rgb_HWC: Pixels, grey_HW: Pixels, encode: Bytes
) -> None:
    alpha_HW1 = rng.integers(0, 256, (4, 5, 1), dtype=np.uint8)
    rgba = encode(np.concatenate([rgb_HWC, alpha_HW1], axis=2))
    assert np.array_equal(decode_image(rgba, name="x"), rgb_HWC)
    grey_alpha = Image.merge("LA", (Image.fromarray(grey_HW), Image.fromarray(alpha_HW1[..., 0])))
    assert np.array_equal(decode_image(encode(grey_alpha), name="x")[..., 0], grey_HW)


def test_a_palette_becomes_its_colours(encode: Bytes) -> None:
    picture = Image.fromarray(np.arange(20, dtype=np.uint8).reshape(4, 5) % 3).convert("P")
    picture.putpalette([255, 0, 0, 0, 255, 0, 7, 8, 9])
    decoded_HWC = decode_image(encode(picture), name="x")
    assert decoded_HWC[0, 0].tolist() == [255, 0, 0]
    assert decoded_HWC[0, 2].tolist() == [7, 8, 9]


def test_a_palette_with_transparency_becomes_its_colours(encode: Bytes) -> None:
    picture = Image.fromarray(np.zeros((4, 5), dtype=np.uint8)).convert("P")
    picture.putpalette([10, 20, 30])
    decoded_HWC = decode_image(encode(picture, transparency=b"\x00\x80"), name="x")
    assert decoded_HWC[0, 0].tolist() == [10, 20, 30]


def test_one_bit_becomes_black_and_white(encode: Bytes) -> None:
    picture = Image.fromarray(np.array([[0, 255]], dtype=np.uint8)).convert("1")
    assert decode_image(encode(picture), name="x").tolist() == [[[0], [255]]]


def test_cmyk_becomes_rgb(encode: Bytes) -> None:
    cyan = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    decoded_HWC = decode_image(encode(cyan, "JPEG", quality=95), name="x")
    assert decoded_HWC.shape == (16, 16, 3)
    assert np.abs(decoded_HWC.astype(int) - (0, 255, 255)).max() <= 6


def test_orientation_tags_do_not_turn_the_picture(rgb_HWC: Pixels, encode: Bytes) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    assert np.array_equal(decode_image(encode(rgb_HWC, exif=exif), name="x"), rgb_HWC)


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP"])
@given(data=st.data())
def test_damaged_pictures_give_pixels_or_a_known_refusal_and_nothing_else(
    image_format: str, data: st.DataObject
) -> None:
    pixels_HWC = np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3)
    damaged = bytearray(_encoded(pixels_HWC, image_format))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    size = data.draw(st.integers(1, len(damaged)))
    outcome = _outcome(bytes(damaged[:size]))
    assert outcome in ("pixels", "undecodable", *_REFUSALS)


def _outcome(data: bytes) -> str:
    try:
        decoded_HWC = decode_image(data, name="x")
    except ImageUndecodable:
        return "undecodable"
    except DatasetRejected as rejection:
        return rejection.code
    good = decoded_HWC.dtype == np.uint8 and decoded_HWC.shape[2] in (1, 3)
    return "pixels" if good else f"{decoded_HWC.dtype} {decoded_HWC.shape}"


def _encoded(pixels_HWC: Pixels, image_format: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels_HWC).save(buffer, image_format)
    return buffer.getvalue()


@pytest.mark.parametrize("side", [30_000, 10_000, 5_001])
def test_a_picture_of_too_many_pixels_is_refused_undecoded(
    refusal: Refusal, image_files: Files, zip_of: Bytes, side: int
) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">L", len(content)) + kind + content + struct.pack(">L", checksum)

    header = struct.pack(">2L5B", side, side, 1, 0, 0, 0, 0)
    picture = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 10_000))
        + chunk(b"IEND", b"")
    )
    rejection = refusal(zip_of({**image_files, "train/cat/big.png": picture}), "image_folder_zip")
    assert rejection.code == "image_too_large"
    assert rejection.entries == ("train/cat/big.png",)


@pytest.mark.parametrize("kind", ["truncated", "EPS", "GIF", "SVG", "TIFF", "BMP", "ICO", "text"])
def test_what_is_no_whole_png_jpeg_or_webp_is_refused_whatever_its_name(
    refusal: Refusal, image_files: Files, zip_of: Bytes, encode: Bytes, kind: str
) -> None:
    picture = Image.new("RGB", (5, 4))
    content = {
        "truncated": image_files["train/cat/0.png"][:-30],
        "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        "text": b"no picture",
    }.get(kind) or encode(picture, kind)
    rejection = refusal(zip_of({**image_files, "train/dog/odd.png": content}), "image_folder_zip")
    assert rejection.code == "images_undecodable"
    assert rejection.entries == ("train/dog/odd.png",)


@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
def test_an_animated_picture_is_refused(
    refusal: Refusal, image_files: Files, zip_of: Bytes, encode: Bytes, image_format: str
) -> None:
    frames = [Image.new("RGB", (5, 4), colour) for colour in ("red", "blue")]
    moving = encode(frames[0], image_format, save_all=True, append_images=frames[1:])
    rejection = refusal(zip_of({**image_files, "train/cat/m.png": moving}), "image_folder_zip")
    assert rejection.code == "image_many_frames"


def test_sixteen_bits_a_channel_are_refused(
    refusal: Refusal, image_files: Files, zip_of: Bytes, encode: Bytes
) -> None:
    deep = encode(Image.fromarray(np.full((4, 5), 999, dtype=np.uint16)))
    rejection = refusal(zip_of({**image_files, "train/cat/d.png": deep}), "image_folder_zip")
    assert rejection.code == "image_16_bit"


def test_a_picture_that_is_also_a_zip_gives_its_pixels_and_nothing_else(
    take: Callable[..., DatasetDescription], image_files: Files, zip_of: Bytes, tmp_path: Path
) -> None:
    secret = b"appended bytes that must vanish"
    image_files["train/cat/0.png"] += zip_of({"hidden": secret}, deflated=False)
    description = take(zip_of(image_files), "image_folder_zip")
    assert description.splits["train"].num_examples == 12
    for path in (tmp_path / "dataset").iterdir():
        assert secret not in path.read_bytes()
