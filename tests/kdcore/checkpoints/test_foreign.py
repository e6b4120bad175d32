"""Good files, as people really save them, are read bit for bit."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save
from torch import nn

from kdcore.checkpoints import Code, ForeignCheckpoint, open_checkpoint
from kdcore.checkpoints.limits import MAX_TENSORS
from kdcore.errors import CheckpointRejected

if TYPE_CHECKING:
    from tests.kdcore.checkpoints.conftest import PickleAssembler

Save = Callable[..., bytes]
Upload = Callable[[bytes], Path]

DTYPES = [
    torch.bool,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.complex64,
]


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def assert_same(checkpoint: ForeignCheckpoint, tensors: Mapping[str, torch.Tensor]) -> None:
    assert set(checkpoint.tensors) == set(tensors)
    for name, tensor in tensors.items():
        entry, read = checkpoint.tensors[name], checkpoint.read(name)
        assert (entry.dtype, entry.shape) == (tensor.dtype, tuple(tensor.shape))
        assert entry.nbytes == tensor.numel() * tensor.itemsize
        assert read.dtype == tensor.dtype
        assert read.is_contiguous()
        assert torch.equal(read, tensor)


def test_state_dict_saved_by_torch_is_read(upload: Upload, saved_by_torch: Save) -> None:
    state_dict = network().state_dict()
    with open_checkpoint(upload(saved_by_torch(state_dict))) as checkpoint:
        assert checkpoint.format == "torch_zip"
        assert checkpoint.tensors["1.num_batches_tracked"].shape == ()
        assert_same(checkpoint, state_dict)


def test_state_dict_saved_as_safetensors_is_read(upload: Upload) -> None:
    state_dict = network().state_dict()
    with open_checkpoint(upload(save(state_dict))) as checkpoint:
        assert checkpoint.format == "safetensors"
        assert_same(checkpoint, state_dict)


def test_checkpoint_with_optimizer_and_parameters_is_read(
    upload: Upload, saved_by_torch: Save
) -> None:
    model = network()
    parameters = dict(model.named_parameters())
    optimizer = torch.optim.SGD(model.parameters(), momentum=0.9)
    content = {"state_dict": parameters, "optimizer": optimizer.state_dict(), "epoch": 7}
    with open_checkpoint(upload(saved_by_torch(content))) as checkpoint:
        assert_same(checkpoint, parameters)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_element_type_is_read(
    upload: Upload, saved_by_torch: Save, dtype: torch.dtype
) -> None:
    tensors = {"w": torch.tensor([[0, 1], [1, 0], [1, 1]]).to(dtype), "s": torch.ones(()).to(dtype)}
    for data in (saved_by_torch(tensors), save(tensors)):
        with open_checkpoint(upload(data)) as checkpoint:
            assert_same(checkpoint, tensors)


def test_tied_weights_and_views_are_read_as_separate_tensors(
    upload: Upload, saved_by_torch: Save
) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    tensors = {
        "base": base,
        "tied": base,
        "transposed": base.t(),
        "rows": base[1:3],
        "columns": base[:, 1:6:2],
        "channels_last": torch.arange(48.0)
        .reshape(2, 3, 2, 4)
        .to(memory_format=torch.channels_last),
    }
    with open_checkpoint(upload(saved_by_torch(tensors))) as checkpoint:
        assert_same(checkpoint, tensors)
        checkpoint.read("tied").zero_()
        assert_same(checkpoint, tensors)


def test_as_many_tensors_as_allowed_are_read(upload: Upload, saved_by_torch: Save) -> None:
    tensors = {f"block.{number}.weight": torch.zeros(1) for number in range(MAX_TENSORS)}
    for data in (saved_by_torch(tensors), save(tensors)):
        with open_checkpoint(upload(data)) as checkpoint:
            assert len(checkpoint.tensors) == MAX_TENSORS


def test_file_swapped_after_the_check_is_not_what_is_read(upload: Upload) -> None:
    path = upload(save({"w": torch.ones(3)}))
    with open_checkpoint(path) as checkpoint:
        other = path.with_name("other")
        other.write_bytes(save({"w": torch.zeros(3)}))
        other.replace(path)
        assert torch.equal(checkpoint.read("w"), torch.ones(3))


def test_file_cut_after_the_check_is_refused(upload: Upload) -> None:
    path = upload(save({"w": torch.ones(3)}))
    with open_checkpoint(path) as checkpoint:
        os.truncate(path, path.stat().st_size - 1)
        with pytest.raises(CheckpointRejected) as caught:
            checkpoint.read("w")
    assert caught.value.code == Code.CHANGED


def test_bool_bytes_other_than_0_and_1_become_true(
    upload: Upload, torch_zip_bytes: Callable[..., bytes], assembler: "PickleAssembler"
) -> None:
    tensor = assembler.tensor(
        storage=assembler.storage(kind="BoolStorage"), shape=(4,), strides=(1,)
    )
    data = torch_zip_bytes(assembler.dictionary(w=tensor), **{"data/0": b"\x00\x01\x02\xff"})
    with open_checkpoint(upload(data)) as checkpoint:
        bytes_read = checkpoint.read("w").view(torch.uint8)
    assert bytes_read.tolist() == [0, 1, 1, 1]


def test_missing_tensor_is_a_key_error(upload: Upload) -> None:
    with open_checkpoint(upload(save({"w": torch.ones(3)}))) as checkpoint, pytest.raises(KeyError):
        checkpoint.read("v")


@pytest.mark.parametrize("data", [b"", b"x" * 100, b"PK\x03\x04" + bytes(40)])
def test_refused_files_are_closed(upload: Upload, data: bytes) -> None:
    open_files = Path("/proc/self/fd")
    if not open_files.exists():
        pytest.skip("open files cannot be counted on this system")
    before = len(list(open_files.iterdir()))
    with pytest.raises(CheckpointRejected):
        open_checkpoint(upload(data))
    assert len(list(open_files.iterdir())) == before
