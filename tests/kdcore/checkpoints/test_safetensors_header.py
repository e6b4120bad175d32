"""Headers of safetensors files: what the format allows and we do not, and what is broken."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from kdcore.checkpoints import Code, open_checkpoint
from kdcore.checkpoints.limits import MAX_HEADER_BYTES
from kdcore.checkpoints.reading import OpenFile
from kdcore.checkpoints.safetensors_header import read_header
from kdcore.errors import CheckpointRejected

Refused = Callable[[bytes], CheckpointRejected]
Build = Callable[..., bytes]


def entry(
    begin: int = 0, end: int = 16, *, dtype: str = "F32", shape: Any = (2, 2), **more: Any
) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end], **more}


def test_empty_file_is_refused(refused: Refused) -> None:
    assert refused(b"").code == Code.EMPTY


def test_three_bytes_are_refused(refused: Refused) -> None:
    assert refused(b"\x10\x00\x00").code == Code.TOO_SHORT


def test_length_of_2_to_the_63_is_refused(refused: Refused) -> None:
    assert refused((2**63).to_bytes(8, "little") + b"{}").code == Code.HEADER_TOO_LARGE


def test_length_past_the_end_is_refused(refused: Refused) -> None:
    assert refused((1000).to_bytes(8, "little") + b"{}").code == Code.HEADER_PAST_END


def test_header_of_17_mib_of_spaces_is_refused(refused: Refused, safetensors_bytes: Build) -> None:
    assert refused(safetensors_bytes(b" " * (17 * 1024**2))).code == Code.HEADER_TOO_LARGE


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b'{"\xff\xfe": 1}', id="not UTF-8"),
        pytest.param(b"{tensors}", id="not JSON"),
        pytest.param(b"[1, 2]", id="a list"),
        pytest.param(b' {"w": 1}', id="leading space"),
        pytest.param(b'{"w":' + b"[" * 5000 + b"]" * 5000 + b"}", id="5,000 nested brackets"),
        pytest.param(b'{"w":' + b"[" * 10**6 + b"}", id="a million brackets"),
        pytest.param(b'{"w":' + b"{}," * 10**6 + b"}", id="a million braces"),
        pytest.param(b'{"w":[' + b"1.5," * 10**6 + b"1]}", id="a million commas"),
        pytest.param(b'{"w": NaN}', id="a JSON constant"),
        pytest.param(b'{"w": ' + b"9" * 5000 + b"}", id="a number of 5,000 digits"),
        pytest.param(b'{"w": {}} {}', id="two objects"),
        pytest.param(b'{"w": 1}', id="a number for a tensor"),
        pytest.param(b'{"w": {"dtype": "F32", "shape": [1]}}', id="a field is missing"),
        pytest.param(b'{"__metadata__": {"epoch": 3}}', id="metadata that is no text"),
        pytest.param(b'{"__metadata__": []}', id="metadata that is no object"),
    ],
)
def test_header_that_is_no_table_of_tensors_is_refused(
    refused: Refused, safetensors_bytes: Build, header: bytes
) -> None:
    assert refused(safetensors_bytes(header)).code == Code.HEADER_INVALID


def test_extra_field_is_refused(refused: Refused, safetensors_bytes: Build) -> None:
    error = refused(safetensors_bytes({"w": entry(strides=[2, 1])}, bytes(16)))
    assert (error.code, error.tensor) == (Code.HEADER_INVALID, "w")


def test_duplicate_tensor_is_refused(refused: Refused, safetensors_bytes: Build) -> None:
    one = json.dumps(entry())
    error = refused(safetensors_bytes(f'{{"w": {one}, "w": {one}}}'.encode(), bytes(16)))
    assert (error.code, error.tensor) == (Code.DUPLICATE_TENSOR, "w")


@pytest.mark.parametrize("dtype", ["F33", "", None, 4, ["F32"], "F4"])
def test_unknown_dtype_is_refused(refused: Refused, safetensors_bytes: Build, dtype: Any) -> None:
    error = refused(safetensors_bytes({"w": entry(dtype=dtype)}, bytes(16)))
    assert (error.code, error.tensor) == (Code.TENSOR_DTYPE, "w")


@pytest.mark.parametrize("shape", [[-2, -2], [2.0, 2], [0], [0, 2**62], [True, 4], ["4"], "4", 4])
def test_dimension_that_is_no_whole_number_from_1_up_is_refused(
    refused: Refused, safetensors_bytes: Build, shape: Any
) -> None:
    error = refused(safetensors_bytes({"w": entry(shape=shape)}, bytes(16)))
    assert (error.code, error.tensor) == (Code.TENSOR_SHAPE, "w")


@pytest.mark.parametrize("shape", [[5], [2**40, 2**40], [2**62] * 8])
def test_shape_larger_than_its_bytes_is_refused(
    refused: Refused, safetensors_bytes: Build, shape: list[int]
) -> None:
    error = refused(safetensors_bytes({"w": entry(shape=shape)}, bytes(16)))
    assert (error.code, error.tensor) == (Code.TENSOR_SIZE, "w")
    assert error.found == "16 bytes"


@pytest.mark.parametrize(
    "offsets", [[-16, 0], [16, 0], [0], [0, 16, 32], [0.0, 16.0], ["0", "16"], None]
)
def test_offsets_that_are_not_two_rising_numbers_are_refused(
    refused: Refused, safetensors_bytes: Build, offsets: Any
) -> None:
    error = refused(safetensors_bytes({"w": entry() | {"data_offsets": offsets}}, bytes(16)))
    assert error.code == Code.TENSOR_OFFSETS


def test_rank_2000_is_refused(refused: Refused, safetensors_bytes: Build) -> None:
    error = refused(safetensors_bytes({"w": entry(shape=[1] * 2000)}, bytes(16)))
    assert (error.code, error.found) == (Code.TENSOR_RANK, "2000 dimensions")


def test_overlapping_tensors_are_refused(refused: Refused, safetensors_bytes: Build) -> None:
    error = refused(safetensors_bytes({"a": entry(), "b": entry(8, 24)}, bytes(24)))
    assert (error.code, error.tensor) == (Code.TENSORS_OVERLAP, "b")


def test_hole_between_tensors_is_refused(refused: Refused, safetensors_bytes: Build) -> None:
    error = refused(safetensors_bytes({"a": entry(), "b": entry(24, 40)}, bytes(40)))
    assert (error.code, error.tensor) == (Code.HOLE, "b")


def test_hole_before_the_first_tensor_is_refused(
    refused: Refused, safetensors_bytes: Build
) -> None:
    assert refused(safetensors_bytes({"a": entry(8, 24)}, bytes(24))).code == Code.HOLE


def test_trailing_bytes_are_refused(refused: Refused, safetensors_bytes: Build) -> None:
    assert refused(safetensors_bytes({"a": entry()}, bytes(17))).code == Code.TRAILING_BYTES


def test_truncated_file_names_the_tensor_that_is_cut(refused: Refused) -> None:
    whole = save({"first": torch.ones(2), "second": torch.ones(3)})
    error = refused(whole[:-1])
    assert (error.code, error.tensor) == (Code.TRUNCATED, "second")
    assert error.found == f"{len(whole) - 1} bytes"


def test_700_000_tensors_are_refused(refused: Refused, safetensors_bytes: Build) -> None:
    one = b'"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    header = b"{" + b",".join(one % number for number in range(700_000)) + b"}"
    assert len(header) > MAX_HEADER_BYTES
    assert refused(safetensors_bytes(header)).code == Code.HEADER_TOO_LARGE


@pytest.mark.parametrize("key", [b"data_offsets", b"data_\\u006fffsets"])
def test_more_tensors_than_any_network_has_are_refused(
    refused: Refused, safetensors_bytes: Build, key: bytes
) -> None:
    one = b'"%d":{"dtype":"U8","shape":[1],"' + key + b'":[%d,%d]}'
    header = b"{" + b",".join(one % (n, n, n + 1) for n in range(20_001)) + b"}"
    assert refused(safetensors_bytes(header, bytes(20_001))).code == Code.TOO_MANY_TENSORS


@pytest.mark.parametrize(
    "name", ["w" * 10**6, "../../x", "a\0b", "<script>", "", "a b", "ü", "..", "w\n"]
)
def test_name_that_is_not_plain_is_refused_without_repeating_it(
    refused: Refused, safetensors_bytes: Build, name: str
) -> None:
    error = refused(safetensors_bytes({name: entry()}, bytes(16)))
    assert (error.code, error.tensor) == (Code.TENSOR_NAME, None)
    assert "number 1" in error.message


def test_file_without_tensors_is_refused(refused: Refused, safetensors_bytes: Build) -> None:
    assert refused(safetensors_bytes({})).code == Code.NO_TENSORS


def test_duplicate_with_a_hostile_name_is_not_repeated(
    refused: Refused, safetensors_bytes: Build
) -> None:
    error = refused(safetensors_bytes(b'{"<script>": 1, "<script>": 1}'))
    assert (error.code, error.tensor) == (Code.DUPLICATE_TENSOR, None)


def test_header_whose_length_looks_like_a_pickle_is_still_safetensors(
    upload: Callable[[bytes], Path], safetensors_bytes: Build
) -> None:
    text = json.dumps({"w": entry()}).encode()
    data = safetensors_bytes(text.ljust(0x0280), bytes(16))
    assert data.startswith(b"\x80\x02\x00")
    with open_checkpoint(upload(data)) as checkpoint:
        assert checkpoint.format == "safetensors"


def test_metadata_is_read_and_is_no_tensor(upload: Callable[[bytes], Path]) -> None:
    path = upload(save({"w": torch.ones(2)}, metadata={"notes": '{"a": [1]}'}))
    with OpenFile(path) as file:
        header = read_header(file)
    assert header.metadata == {"notes": '{"a": [1]}'}
    assert list(header.tensors) == ["w"]


def test_our_own_files_may_have_empty_tensors(upload: Callable[[bytes], Path]) -> None:
    path = upload(save({"none": torch.empty(0, 3), "one": torch.ones(1)}))
    with OpenFile(path) as file:
        assert read_header(file, is_ours=True).tensors["none"].shape == (0, 3)
        with pytest.raises(CheckpointRejected):
            read_header(file)
