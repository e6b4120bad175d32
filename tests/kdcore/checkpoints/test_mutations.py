"""Mutated good files: accepted with an exact round trip, or refused by a code; nothing else."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from kdcore.checkpoints import Code, open_checkpoint, read_safetensors, write_safetensors
from kdcore.errors import CheckpointRejected

Upload = Callable[[bytes], Path]

MUTATIONS = settings(
    database=None,
    deadline=None,
    max_examples=200,
    # The fixtures are functions that only write one file, anew for every example.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

TENSORS = {
    "conv.weight": torch.arange(24.0).reshape(2, 3, 4),
    "conv.bias": torch.arange(2.0).half(),
    "norm.count": torch.tensor(3),
}


def _saved_by_torch() -> bytes:
    buffer = io.BytesIO()
    view = torch.arange(12.0).reshape(3, 4).t()
    torch.save({"state_dict": {**TENSORS, "view": view}, "epoch": 3}, buffer)
    return buffer.getvalue()


GOOD_SAFETENSORS = save(TENSORS)
GOOD_ZIP = _saved_by_torch()
with zipfile.ZipFile(io.BytesIO(GOOD_ZIP)) as _archive:
    GOOD_RECORDS = {name: _archive.read(name) for name in _archive.namelist()}
GOOD_PICKLE = GOOD_RECORDS["archive/data.pkl"]


@st.composite
def mutated(draw: st.DrawFn, good: bytes) -> bytes:
    """Change, drop, insert or repeat some bytes, a few times over."""
    data = good
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.integers(0, 12)))
        piece = draw(
            st.one_of(
                st.binary(max_size=12),
                st.integers(0, len(data)).map(lambda n, d=data: d[n : n + 24]),  # type: ignore[misc]  # the default binds this round's data
                st.just(data[start:stop] * 2),
            )
        )
        data = data[:start] + piece + data[stop:]
    return data


def check(path: Path) -> None:
    """Open, read everything, and write it again: equal, or refused by a code of ours."""
    try:
        with open_checkpoint(path) as checkpoint:
            entries = dict(checkpoint.tensors)
            tensors = {name: checkpoint.read(name) for name in entries}
    except CheckpointRejected as error:
        code: str | None = error.code
    else:
        code = None
    if code is not None:
        assert code in set(Code)
        return
    for name, entry in entries.items():
        assert (tensors[name].dtype, tuple(tensors[name].shape)) == (entry.dtype, entry.shape)
    again = path.with_name("again")
    write_safetensors(again, tensors)
    read, _ = read_safetensors(again)
    for name, tensor in tensors.items():
        assert read[name].numpy().tobytes() == tensor.numpy().tobytes()


@given(data=mutated(GOOD_SAFETENSORS))
@MUTATIONS
def test_mutated_safetensors_file(upload: Upload, data: bytes) -> None:
    check(upload(data))


@given(text=mutated(GOOD_SAFETENSORS[8 : 8 + int.from_bytes(GOOD_SAFETENSORS[:8], "little")]))
@MUTATIONS
def test_mutated_header_of_the_right_length(upload: Upload, text: bytes) -> None:
    length = int.from_bytes(GOOD_SAFETENSORS[:8], "little")
    check(upload(len(text).to_bytes(8, "little") + text + GOOD_SAFETENSORS[8 + length :]))


JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)
ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F16", "I64", "BOOL", "U8"]) | JSON_VALUES,
        "shape": st.lists(st.integers(-1, 4), max_size=4) | JSON_VALUES,
        "data_offsets": st.lists(st.integers(-1, 64), min_size=2, max_size=2) | JSON_VALUES,
    }
)


@given(header=st.dictionaries(st.sampled_from(["a", "b", "__metadata__"]), ENTRIES | JSON_VALUES))
@MUTATIONS
def test_header_of_any_json(upload: Upload, header: dict[str, Any]) -> None:
    text = json.dumps(header).encode()
    check(upload(len(text).to_bytes(8, "little") + text + bytes(64)))


@given(table=mutated(GOOD_PICKLE))
@MUTATIONS
def test_mutated_table_of_a_zip(
    upload: Upload, zip_bytes: Callable[..., bytes], table: bytes
) -> None:
    check(upload(zip_bytes(GOOD_RECORDS | {"archive/data.pkl": table})))


@given(
    opcodes=st.lists(
        st.sampled_from([bytes([n]) for n in b"()t\x85\x86\x87]ae}suN\x88K\x01q\x00h\x8aXcQRb."])
    )
)
@MUTATIONS
def test_table_of_any_opcodes(
    upload: Upload, zip_bytes: Callable[..., bytes], opcodes: list[bytes]
) -> None:
    table = b"\x80\x02" + b"".join(opcodes) + b"."
    check(upload(zip_bytes(GOOD_RECORDS | {"archive/data.pkl": table})))


@given(data=mutated(GOOD_ZIP))
@MUTATIONS
def test_mutated_zip(upload: Upload, data: bytes) -> None:
    check(upload(data))


@pytest.mark.parametrize("data", [GOOD_SAFETENSORS, GOOD_ZIP])
def test_the_good_files_are_accepted(upload: Upload, data: bytes) -> None:
    with open_checkpoint(upload(data)) as checkpoint:
        assert all(torch.equal(checkpoint.read(name), TENSORS[name]) for name in TENSORS)
