"""Reads the header of an .npy array without evaluating anything in it.

Layout: numpy.lib.format, versions 1.0, 2.0 and 3.0.
"""

import re
import struct
from dataclasses import dataclass

from kdcore.data.rejection import shown
from kdcore.data.streams import ByteSource
from kdcore.errors import DatasetRejected

_MAGIC = b"\x93NUMPY"
_MAX_HEADER_BYTES = 4096
_MAX_DIMENSIONS = 8
_FIELD = r"'(descr|fortran_order|shape)': *('[^'\\]{0,32}'|True|False|\([0-9, ]{0,160}\))"
_HEADER = re.compile(rf"\s*\{{ *{_FIELD}(?:, *{_FIELD}){{2}} *,? *\}}\s*")


@dataclass(frozen=True)
class NpyHeader:
    """What an array is.

    Attributes:
        dtype: numpy's text for it, such as "|u1" or "<i8".
        shape: One number for each dimension.
        fortran_order: The first index runs fastest.
        header_bytes: Where the elements begin.
    """

    dtype: str
    shape: tuple[int, ...]
    fortran_order: bool
    header_bytes: int


def read_npy_header(source: ByteSource, *, name: str) -> NpyHeader:
    """Read the header and leave `source` at the first element.

    Only plain element types are read; arrays of objects and of records never.

    Raises:
        DatasetRejected: `array_unreadable`, `array_holds_objects`.
    """
    start = source.read(len(_MAGIC) + 2)
    if start[: len(_MAGIC)] != _MAGIC or start[len(_MAGIC) :] not in (b"\1\0", b"\2\0", b"\3\0"):
        raise _unreadable(name)
    size_format = "<H" if start[len(_MAGIC)] == 1 else "<L"
    size_bytes = source.read(struct.calcsize(size_format))
    if len(size_bytes) < struct.calcsize(size_format):
        raise _unreadable(name)
    (size,) = struct.unpack(size_format, size_bytes)
    text = source.read(size) if size <= _MAX_HEADER_BYTES else b""
    if len(text) < size:
        raise _unreadable(name)
    header_bytes = len(start) + len(size_bytes) + size
    return _parse(text.decode("latin-1"), header_bytes, name)


def _parse(text: str, header_bytes: int, name: str) -> NpyHeader:
    if re.search(r"'descr': *'[|<>=]?O", text):
        raise DatasetRejected(
            "array_holds_objects",
            f"{shown(name)} holds Python objects, which are never read. Save it as a plain array "
            "of numbers: uint8 for images, int64 for labels.",
            entries=[shown(name)],
        )
    fields = dict(re.findall(_FIELD, text))
    descr, fortran, shape = (fields.get(key, "") for key in ("descr", "fortran_order", "shape"))
    well_formed = (
        _HEADER.fullmatch(text)
        and descr.startswith("'")
        and fortran in ("True", "False")
        and re.fullmatch(r"\((?:\d+, *)*\d*\)", shape)
    )
    numbers = tuple(int(number) for number in re.findall(r"\d+", shape))
    if not well_formed or len(numbers) > _MAX_DIMENSIONS:
        raise _unreadable(name)
    return NpyHeader(descr.strip("'"), numbers, fortran == "True", header_bytes)


def _unreadable(name: str) -> DatasetRejected:
    return DatasetRejected(
        "array_unreadable",
        f"{shown(name)} is not an array of plain numbers as numpy.save writes it. "
        "Save it with numpy.savez.",
        entries=[shown(name)],
    )
