"""torch's zip: its layout, records as long as claimed, views inside their storage."""

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from kdcore.checkpoints import Code, open_checkpoint
from kdcore.errors import CheckpointRejected

if TYPE_CHECKING:
    from tests.kdcore.checkpoints.conftest import PickleAssembler

Refused = Callable[[bytes], CheckpointRejected]
Build = Callable[..., bytes]


def test_good_zip_is_read(upload: Callable[[bytes], Path], torch_zip_bytes: Build) -> None:
    data = torch.arange(4.0).numpy().tobytes()
    with open_checkpoint(upload(torch_zip_bytes(**{"data/0": data}))) as checkpoint:
        assert torch.equal(checkpoint.read("w"), torch.arange(4.0).reshape(2, 2))


def test_whole_module_is_refused(
    refused: Refused, saved_by_torch: Callable[[object], bytes]
) -> None:
    assert refused(saved_by_torch(nn.Linear(2, 2))).code == Code.WHOLE_MODULE


@pytest.mark.parametrize(
    ("tensor", "code"),
    [
        (torch.eye(3).to_sparse(), Code.TENSOR_SPARSE),
        (torch.eye(3).to(torch.float8_e4m3fn), Code.PICKLE_GLOBAL),
        (torch.eye(3, dtype=torch.complex64).conj(), Code.PICKLE_CALL),
    ],
)
def test_tensors_that_are_not_plain_are_refused(
    refused: Refused,
    saved_by_torch: Callable[[object], bytes],
    tensor: torch.Tensor,
    code: Code,
) -> None:
    assert refused(saved_by_torch({"w": tensor})).code == code


@pytest.mark.filterwarnings("ignore")  # torch announces the end of its quantized tensors
def test_quantized_tensor_is_refused(
    refused: Refused, saved_by_torch: Callable[[object], bytes]
) -> None:
    tensor = torch.quantize_per_tensor(torch.eye(3), 1.0, 0, torch.qint8)
    assert refused(saved_by_torch({"w": tensor})).code == Code.TENSOR_QUANTIZED


def test_deflated_zip_is_refused(refused: Refused, zip_bytes: Build) -> None:
    files = {"a/data.pkl": b"\x80\x02}.", "a/data/0": bytes(64 * 1024**2)}
    data = zip_bytes(files, compression=zipfile.ZIP_DEFLATED)
    assert len(data) < 70_000
    assert refused(data).code == Code.ZIP_COMPRESSED


@pytest.mark.parametrize(
    "name",
    ["other/data/0", "data/0", "archive/extra", "archive/data/x", "archive/../x", "archive/.././x"],
)
def test_file_that_torch_does_not_write_is_refused(
    refused: Refused, zip_bytes: Build, name: str
) -> None:
    assert refused(zip_bytes({"archive/data.pkl": b"", name: b""})).code == Code.ZIP_LAYOUT


def test_two_tables_in_two_roots_are_refused(refused: Refused, zip_bytes: Build) -> None:
    assert refused(zip_bytes({"a/data.pkl": b"", "b/data.pkl": b""})).code == Code.ZIP_LAYOUT


@pytest.mark.parametrize("name", ["archive/data/data.pkl", "archive/.data/data.pkl"])
def test_table_in_another_place_is_no_table(refused: Refused, zip_bytes: Build, name: str) -> None:
    assert refused(zip_bytes({name: b""})).code in (Code.ZIP_LAYOUT, Code.ARCHIVE)


def test_big_endian_file_is_refused(refused: Refused, torch_zip_bytes: Build) -> None:
    assert refused(torch_zip_bytes(byteorder=b"big")).code == Code.BYTE_ORDER


def test_table_larger_than_16_mib_is_refused(refused: Refused, zip_bytes: Build) -> None:
    data = zip_bytes({"a/data.pkl": bytes(16 * 1024**2 + 1)})
    assert refused(data).code == Code.PICKLE_TOO_LARGE


def test_missing_record_is_refused(
    refused: Refused, torch_zip_bytes: Build, assembler: "PickleAssembler"
) -> None:
    tensor = assembler.tensor(storage=assembler.storage("1"))
    error = refused(torch_zip_bytes(assembler.dictionary(w=tensor)))
    assert (error.code, error.tensor) == (Code.STORAGE_MISSING, "w")


@pytest.mark.parametrize("count", [3, 5, 10**12, -4, 0, 2**2000])
def test_element_count_other_than_the_record_is_refused(
    refused: Refused, torch_zip_bytes: Build, assembler: "PickleAssembler", count: int
) -> None:
    tensor = assembler.tensor(storage=assembler.storage(count=count))
    error = refused(torch_zip_bytes(assembler.dictionary(w=tensor)))
    assert (error.code, error.tensor) == (Code.STORAGE_SIZE, "w")
    assert error.expected == "16 bytes"


def test_one_record_of_two_types_is_refused(
    refused: Refused, torch_zip_bytes: Build, assembler: "PickleAssembler"
) -> None:
    other = assembler.tensor(storage=assembler.storage(kind="IntStorage"))
    error = refused(torch_zip_bytes(assembler.dictionary(a=assembler.tensor(), b=other)))
    assert (error.code, error.tensor) == (Code.STORAGE_CONFLICT, "b")


VIEWS = {
    # name: shape, strides, offset, code
    "stride 0": ((2**20, 2**20), (0, 0), 0, Code.TENSOR_STRIDE),
    "overlapping rows": ((3, 2), (1, 1), 0, Code.TENSOR_STRIDE),
    "negative stride": ((2, 2), (2, -1), 1, Code.TENSOR_STRIDE),
    "too few strides": ((2, 2), (2,), 0, Code.TENSOR_STRIDE),
    "past the storage": ((4,), (1,), 1, Code.TENSOR_PAST_STORAGE),
    "longer than the storage": ((5,), (1,), 0, Code.TENSOR_PAST_STORAGE),
    "step past the storage": ((2,), (4,), 0, Code.TENSOR_PAST_STORAGE),
    "2^40×2^40": ((2**40, 2**40), (2**40, 1), 0, Code.TENSOR_PAST_STORAGE),
    "negative offset": ((2, 2), (2, 1), -1, Code.TENSOR_PAST_STORAGE),
    "scalar past the storage": ((), (), 4, Code.TENSOR_PAST_STORAGE),
    "dimension of 0": ((0,), (1,), 0, Code.TENSOR_SHAPE),
    "negative dimension": ((-1, 2), (2, 1), 0, Code.TENSOR_SHAPE),
    "rank 9": ((1,) * 9, (1,) * 9, 0, Code.TENSOR_RANK),
}


@pytest.mark.parametrize("view", VIEWS)
def test_view_that_leaves_or_repeats_its_bytes_is_refused(
    refused: Refused, torch_zip_bytes: Build, assembler: "PickleAssembler", view: str
) -> None:
    shape, strides, offset, code = VIEWS[view]
    tensor = assembler.tensor(shape=shape, strides=strides, offset=offset)
    error = refused(torch_zip_bytes(assembler.dictionary(w=tensor)))
    assert (error.code, error.tensor) == (code, "w")


def test_numbers_of_a_view_must_be_numbers(
    refused: Refused, torch_zip_bytes: Build, assembler: "PickleAssembler"
) -> None:
    good = assembler.tensor()
    for broken, code in (
        (good.replace(b"(K\x02K\x02t", b"(N\x88t"), Code.TENSOR_SHAPE),
        (good.replace(b"(K\x02K\x01t", b"(NNt"), Code.TENSOR_STRIDE),
        (good.replace(b"QK\x00", b"QN"), Code.TENSOR_PAST_STORAGE),
    ):
        assert broken != good
        assert refused(torch_zip_bytes(assembler.dictionary(w=broken))).code == code


@pytest.mark.parametrize(
    ("shape", "strides"), [((2, 2), (2, 1)), ((2, 2), (1, 2)), ((2,), (2,)), ((1, 4), (0, 1))]
)
def test_view_inside_its_storage_is_read_as_a_copy(
    upload: Callable[[bytes], Path],
    torch_zip_bytes: Build,
    assembler: "PickleAssembler",
    shape: Sequence[int],
    strides: Sequence[int],
) -> None:
    tensor = assembler.tensor(shape=shape, strides=strides)
    record = torch.arange(4.0)
    data = torch_zip_bytes(assembler.dictionary(w=tensor), **{"data/0": record.numpy().tobytes()})
    with open_checkpoint(upload(data)) as checkpoint:
        read = checkpoint.read("w")
    assert torch.equal(read, record.as_strided(list(shape), list(strides)))
    assert read.is_contiguous()


def test_tensors_that_share_far_more_than_the_file_holds_are_refused(
    refused: Refused, torch_zip_bytes: Build, assembler: "PickleAssembler"
) -> None:
    tensor = assembler.tensor(storage=assembler.storage(count=2**16), shape=(2**16,), strides=(1,))
    tensors = {f"w{number}": tensor for number in range(6)}
    data = torch_zip_bytes(assembler.dictionary(**tensors), **{"data/0": bytes(2**18)})
    assert refused(data).code == Code.TENSORS_SHARE
