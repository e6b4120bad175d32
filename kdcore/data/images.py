"""Decodes one PNG, JPEG or WebP file of a stranger into pixels, told by its bytes, never its name.

H height, W width, C channels.
"""

import io
import struct
import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from kdcore.data.archive_rules import refuse_nested_bytes
from kdcore.data.limits import MAX_IMAGE_FILE_BYTES, MAX_IMAGE_PIXELS
from kdcore.data.rejection import shown
from kdcore.data.streams import ArchiveEntry, ByteSource
from kdcore.errors import DatasetRejected

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_DEPTH_OFFSET = 24  # signature, length and "IHDR", width, height, then the bit depth

# Modes of Pillow that become one grey channel, and those that become RGB. Alpha is dropped, as
# torchvision's image folders do; a palette counts as colour, whatever its colours are.
_GREY_MODES = frozenset({"1", "L", "LA"})
_COLOUR_MODES = frozenset({"RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr"})


class ImageUndecodable(Exception):
    """A file is no whole PNG, JPEG or WebP image; a few of them are tolerated in a dataset."""


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """What became of an image file.

    Attributes:
        size_HW: None if it is no whole image.
        pixels_HWC: None in that case too, and maybe if the size is not the one that was wanted.
    """

    size_HW: tuple[int, int] | None
    pixels_HWC: npt.NDArray[np.uint8] | None


def decode_entry(source: ByteSource, entry: ArchiveEntry) -> npt.NDArray[np.uint8]:
    """Read an image file of a zip, and decode it as `decode_image` does.

    Raises:
        ImageUndecodable: as `decode_image`.
        DatasetRejected: as `decode_image`; `image_too_large` before anything is read, and
            `archive_nested`.
    """
    if entry.size_bytes > MAX_IMAGE_FILE_BYTES:
        raise too_large(entry.name)
    data = source.read(entry.size_bytes + 1)
    try:
        return decode_image(data, name=entry.name)
    except ImageUndecodable:
        refuse_nested_bytes(entry.name, data)
        raise


def decode_image(data: bytes, *, name: str) -> npt.NDArray[np.uint8]:
    """Decode one image into 8-bit grey or RGB, shape H×W×C with C 1 or 3.

    Metadata, profiles, orientation tags and bytes after the image are not used.

    Args:
        data: The whole file.
        name: What a rejection calls it.

    Raises:
        ImageUndecodable: Another format, cut off, or damaged.
        DatasetRejected: `image_too_large`, `image_many_frames`, `image_16_bit`: whole images that
            are not accepted.
    """
    pillow_format = _format_of(data)
    if pillow_format is None:
        raise ImageUndecodable
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd metadata, which is not used
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=[pillow_format]) as image:
                _check_header(image, data, name)
                return _pixels(image)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise too_large(name) from None
    except (
        UnidentifiedImageError,
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        IndexError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        struct.error,
    ):
        # What Pillow's decoders are known to raise on damaged files.
        raise ImageUndecodable from None


def too_large(name: str) -> DatasetRejected:
    """Say that an image file is too large to decode."""
    return DatasetRejected(
        "image_too_large",
        f"{shown(name)} is too large: at most {MAX_IMAGE_PIXELS} pixels and "
        f"{MAX_IMAGE_FILE_BYTES} bytes are decoded. Resize the images to the network's input.",
        entries=[shown(name)],
    )


def _format_of(data: bytes) -> str | None:
    if data.startswith(_PNG_MAGIC):
        return "PNG"
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return None


def _check_header(image: Image.Image, data: bytes, name: str) -> None:
    """Refuse by what the header says, before any pixel is decoded."""
    if image.width * image.height > MAX_IMAGE_PIXELS:
        raise too_large(name)
    if getattr(image, "n_frames", 1) > 1:
        raise DatasetRejected(
            "image_many_frames",
            f"{shown(name)} has several frames. Save one frame as a PNG, JPEG or WebP file.",
            entries=[shown(name)],
        )
    is_png_16_bit = image.format == "PNG" and data[_PNG_DEPTH_OFFSET] == 16
    if is_png_16_bit or image.mode.startswith(("I", "F")):
        raise DatasetRejected(
            "image_16_bit",
            f"{shown(name)} has more than 8 bits a channel. Save the images with 8 bits, scaled as "
            "the values in them ask for.",
            entries=[shown(name)],
        )


def _pixels(image: Image.Image) -> npt.NDArray[np.uint8]:
    if image.mode in _GREY_MODES:
        grey_HW = np.asarray(image if image.mode == "L" else image.convert("L"))
        return grey_HW[:, :, np.newaxis]
    if image.mode in _COLOUR_MODES:
        return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    raise ImageUndecodable
