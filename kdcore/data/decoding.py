"""Decodes the images of a zip in their order: here, or by several processes where that pays."""

from collections import deque
from collections.abc import Generator, Sequence
from pathlib import Path

from kdcore.data.archive import Archive
from kdcore.data.decoder_pool import DecoderPool
from kdcore.data.images import DecodedImage, ImageUndecodable, decode_entry
from kdcore.data.streams import ArchiveEntry

# Measured (benchmarks/decoding.py): an image costs about 6 ns a pixel to decode, and 0.2 ms to
# be ordered and taken; a decoder takes half a second to start.
_MIN_IMAGE_PIXELS = 200 * 200
# The process that takes, counts and writes the pixels keeps up with no more than these.
_MAX_DECODERS = 8
_MIN_PIXELS_PER_DECODER = 100_000_000


def choose_decoders(*, image_pixels: int, num_images: int, max_decoders: int) -> int:
    """Tell how many processes decode these images soonest; 1 for this process alone.

    Args:
        image_pixels: Of one image.
        num_images: Still to be decoded.
        max_decoders: At most so many, most likely one for each CPU.
    """
    if image_pixels < _MIN_IMAGE_PIXELS:
        return 1
    wanted = image_pixels * num_images // _MIN_PIXELS_PER_DECODER
    return max(1, min(wanted, max_decoders, _MAX_DECODERS))


def decoded_images(
    archive: Archive, entries: Sequence[ArchiveEntry], *, max_decoders: int, folder: Path
) -> Generator[DecodedImage]:
    """Decode images one after another; close the iterator if it is not gone through.

    The pixels of each are good until the next is taken. The first whole image, decoded here, tells
    the size that is wanted: of images of another size the pixels may be left out.

    Args:
        archive: The zip.
        entries: Images in it.
        max_decoders: How many processes there may be for it.
        folder: Where they may have a file.

    Raises:
        DatasetRejected: as `kdcore.data.images.decode_entry` and `DecoderPool.decode` do.
        DecoderKilled, MemoryError: as `DecoderPool.decode` does.
    """
    left = deque(entries)
    while left:
        image = _decode_here(archive, left.popleft())
        yield image
        if image.size_HW is None:
            continue
        height, width = image.size_HW
        num_decoders = choose_decoders(
            image_pixels=height * width, num_images=len(left), max_decoders=max_decoders
        )
        if num_decoders == 1:
            yield from (_decode_here(archive, entry) for entry in left)
        else:
            with DecoderPool(
                archive.fileno(), size_HW=image.size_HW, num_decoders=num_decoders, folder=folder
            ) as pool:
                # Until they have loaded what they need, this process goes on.
                while left and not pool.is_ready():
                    yield _decode_here(archive, left.popleft())
                yield from pool.decode(list(left))
        return


def _decode_here(archive: Archive, entry: ArchiveEntry) -> DecodedImage:
    try:
        pixels_HWC = decode_entry(archive.open(entry), entry)
    except ImageUndecodable:
        return DecodedImage(None, None)
    height, width, _ = pixels_HWC.shape
    return DecodedImage((height, width), pixels_HWC)
