"""Our own weights files: whole or absent, the same bytes for the same content, verified on read."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from kdcore.checkpoints import read_safetensors, sha256_of, write_safetensors
from kdcore.errors import CheckpointDamaged

TENSORS = {
    "layer.weight": torch.arange(6.0).reshape(2, 3),
    "half": torch.ones(3, dtype=torch.float16),
    "brain": torch.ones(3, dtype=torch.bfloat16),
    "count": torch.tensor(7),
    "mask": torch.tensor([True, False]),
    "byte": torch.tensor([1, 2, 3], dtype=torch.uint8),
    "empty": torch.empty(0, 4),
    "double": torch.ones(1, dtype=torch.float64),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "student.safetensors"


def test_what_is_written_is_read_back(path: Path) -> None:
    digest = write_safetensors(path, TENSORS, {"step": "12", "name": "größer <b>"})
    tensors, metadata = read_safetensors(path, sha256=digest)
    assert metadata == {"step": "12", "name": "größer <b>"}
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert all(tensors[name].dtype == TENSORS[name].dtype for name in TENSORS)


def test_the_safetensors_library_reads_it_too(path: Path) -> None:
    write_safetensors(path, TENSORS)
    tensors = load_file(path)
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def test_every_tensor_is_aligned(path: Path) -> None:
    write_safetensors(path, TENSORS)
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    assert length % 8 == 0
    for name, entry in json.loads(data[8 : 8 + length]).items():
        assert entry["data_offsets"][0] % TENSORS[name].itemsize == 0


def test_digest_is_that_of_the_file(path: Path) -> None:
    digest = write_safetensors(path, TENSORS)
    assert digest == sha256_of(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_bytes_depend_on_content_alone(tmp_path: Path) -> None:
    reordered = dict(reversed(TENSORS.items()))
    one = write_safetensors(tmp_path / "a", TENSORS, {"x": "1", "y": "2"})
    two = write_safetensors(tmp_path / "b", reordered, {"y": "2", "x": "1"})
    assert one == two


def test_views_parameters_and_shared_memory_are_written_as_they_look(path: Path) -> None:
    base = torch.arange(6.0).reshape(2, 3)
    tensors = {"a": torch.nn.Parameter(base), "b": base.t(), "c": base}
    write_safetensors(path, tensors)
    read, _ = read_safetensors(path)
    assert all(torch.equal(read[name], tensors[name]) for name in tensors)
    assert not any(tensor.requires_grad for tensor in read.values())


def test_nothing_at_all_can_be_written(path: Path) -> None:
    write_safetensors(path, {})
    assert read_safetensors(path) == ({}, {})


def test_other_digest_is_damage(path: Path) -> None:
    digest = write_safetensors(path, TENSORS)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointDamaged):
        read_safetensors(path, sha256=digest)


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_cut_file_is_damage(path: Path, kept: int) -> None:
    write_safetensors(path, TENSORS)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointDamaged) as caught:
        read_safetensors(path)
    assert str(path.parent) not in caught.value.message


def test_file_that_is_not_there_is_not_damage(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_safetensors(path)


@pytest.mark.parametrize(
    "tensors",
    [
        {"../x": torch.ones(1)},
        {"a b": torch.ones(1)},
        {"__metadata__": torch.ones(1)},
        {"w": torch.ones([1] * 9)},
        {"w": torch.ones(1, dtype=torch.complex128)},
    ],
)
def test_what_could_not_be_read_back_is_not_written(
    path: Path, tensors: dict[str, torch.Tensor]
) -> None:
    with pytest.raises(ValueError, match=r"read back|cannot store"):
        write_safetensors(path, tensors)
    assert list(path.parent.iterdir()) == []


def test_metadata_beyond_the_headers_limit_is_not_written(path: Path) -> None:
    with pytest.raises(ValueError, match="16 MiB"):
        write_safetensors(path, {}, {"log": "x" * 17 * 1024**2})
    assert list(path.parent.iterdir()) == []


def test_write_that_fails_leaves_the_old_file(path: Path) -> None:
    digest = write_safetensors(path, {"w": torch.ones(2)})
    unwritable = {"a": torch.ones(2), "w": torch.ones(2, device="meta")}
    with pytest.raises(NotImplementedError):
        write_safetensors(path, unwritable)
    assert sha256_of(path) == digest
    assert list(path.parent.iterdir()) == [path]


def test_more_tensors_than_a_foreign_file_may_have_are_ours_to_write(path: Path) -> None:
    tensors = {f"optimizer/{number}": torch.zeros(()) for number in range(20_001)}
    write_safetensors(path, tensors)
    assert len(read_safetensors(path)[0]) == 20_001
