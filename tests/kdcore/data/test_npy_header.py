"""The header of an .npy array is read by pattern, never evaluated."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdcore.data.npy_header import read_npy_header
from kdcore.errors import DatasetRejected


def _header(text: bytes, version: bytes = b"\1\0") -> io.BytesIO:
    size = struct.pack("<H" if version[0] == 1 else "<L", len(text))
    return io.BytesIO(b"\x93NUMPY" + version + size + text)


@given(
    shape=st.lists(st.integers(0, 2**40), max_size=8),
    dtype=st.sampled_from(["|u1", "<i8", ">f4", "|b1", "<c16", "<U7"]),
    fortran_order=st.booleans(),
    version=st.sampled_from([(1, 0), (2, 0)]),
)
def test_what_numpy_writes_is_read(
    shape: list[int], dtype: str, *, fortran_order: bool, version: tuple[int, int]
) -> None:
    buffer = io.BytesIO()
    write = {
        (1, 0): np.lib.format.write_array_header_1_0,
        (2, 0): np.lib.format.write_array_header_2_0,
    }[version]
    write(buffer, {"descr": dtype, "fortran_order": fortran_order, "shape": tuple(shape)})
    size = buffer.tell()
    buffer.write(b"elements")
    buffer.seek(0)
    header = read_npy_header(buffer, name="x")
    assert (header.dtype, header.shape) == (dtype, tuple(shape))
    assert header.fortran_order == fortran_order
    assert header.header_bytes == size
    assert buffer.read() == b"elements"


def test_other_spacing_and_order_are_read() -> None:
    text = b"{'shape':(3,4),'descr':'|u1', 'fortran_order': False}\n"
    assert read_npy_header(_header(text), name="x").shape == (3, 4)


@pytest.mark.parametrize("dtype", [b"|O", b"O", b"|O8", b"<O"])
def test_objects_are_refused_as_objects(dtype: bytes) -> None:
    text = b"{'descr': '" + dtype + b"', 'fortran_order': False, 'shape': (3,), }\n"
    with pytest.raises(DatasetRejected) as caught:
        read_npy_header(_header(text), name="x")
    assert caught.value.code == "array_holds_objects"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"{'descr': [('a', '<i8')], 'fortran_order': False, 'shape': (3,), }",
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (-3,), }",
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (3.0,), }",
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (3 4), }",
        b"{'descr': '|u1', 'fortran_order': False, 'shape': '(3,)', }",
        b"{'descr': '|u1', 'fortran_order': 0, 'shape': (3,), }",
        b"{'descr': '|u1', 'fortran_order': False, 'fortran_order': False}",
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (3,), 'more': 1}",
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1), }",
        b"__import__('os').abort()",
        b"{'descr': '|u1', 'fortran_order': False, 'shape': " + b"(" * 3000 + b"3" + b")" * 3000,
        b"[" * 4000,
        b" " * 5000,
    ],
)
@pytest.mark.parametrize("version", [b"\1\0", b"\2\0", b"\3\0"])
def test_anything_else_is_refused(text: bytes, version: bytes) -> None:
    with pytest.raises(DatasetRejected) as caught:
        read_npy_header(_header(text, version), name="x")
    assert caught.value.code == "array_unreadable"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\1\0",
        b"\x93NUMPY\1\0\xff",
        b"\x93NUMPY\1\0\x40\0{",
        b"\x93NUMPY\2\0\xff\xff\xff\xff{",
        b"\x93NUMPY\4\0\0\0",
        b"\x80\x04K\x01.",
    ],
)
def test_a_broken_beginning_is_refused(data: bytes) -> None:
    with pytest.raises(DatasetRejected) as caught:
        read_npy_header(io.BytesIO(data), name="x")
    assert caught.value.code == "array_unreadable"
