"""Folders of shards: the index names every tensor once, in a shard that is there and has it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from kdcore.checkpoints import Code, open_checkpoint
from kdcore.errors import CheckpointRejected

RefusedPath = Callable[[Path], CheckpointRejected]
FIRST, SECOND = "model-1-of-2.safetensors", "model-2-of-2.safetensors"
GOOD_MAP = {"a": FIRST, "b": SECOND}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "sharded"
    folder.mkdir()
    save_file({"a": torch.arange(3.0)}, folder / FIRST)
    save_file({"b": torch.arange(4)}, folder / SECOND)
    write_index(folder, GOOD_MAP)
    return folder


def write_index(folder: Path, weight_map: Any) -> None:
    text = json.dumps({"metadata": {"total_size": 44}, "weight_map": weight_map})
    (folder / "model.safetensors.index.json").write_text(text)


def test_shards_are_read_as_one_checkpoint(folder: Path) -> None:
    with open_checkpoint(folder) as checkpoint:
        assert checkpoint.format == "safetensors"
        assert set(checkpoint.tensors) == {"a", "b"}
        assert torch.equal(checkpoint.read("a"), torch.arange(3.0))
        assert torch.equal(checkpoint.read("b"), torch.arange(4))


def test_missing_shard_is_named(folder: Path, refused_path: RefusedPath) -> None:
    (folder / SECOND).unlink()
    error = refused_path(folder)
    assert (error.code, error.expected) == (Code.SHARD_MISSING, SECOND)


def test_tensor_in_the_wrong_shard_is_refused(folder: Path, refused_path: RefusedPath) -> None:
    write_index(folder, {"a": SECOND, "b": FIRST})
    error = refused_path(folder)
    assert (error.code, error.tensor) == (Code.SHARD_MISMATCH, "a")


def test_tensor_in_no_shard_is_refused(folder: Path, refused_path: RefusedPath) -> None:
    write_index(folder, GOOD_MAP | {"c": SECOND})
    error = refused_path(folder)
    assert (error.code, error.tensor) == (Code.SHARD_MISMATCH, "c")


def test_tensor_that_the_index_does_not_know_is_refused(
    folder: Path, refused_path: RefusedPath
) -> None:
    save_file({"b": torch.arange(4), "hidden": torch.ones(1)}, folder / SECOND)
    error = refused_path(folder)
    assert (error.code, error.tensor) == (Code.SHARD_MISMATCH, "hidden")


@pytest.mark.parametrize(
    "shard",
    [
        "../../other/x.safetensors",
        "/etc/x.safetensors",
        "..safetensors",
        "x.bin",
        "a\0.safetensors",
    ],
)
def test_shard_outside_the_folder_is_refused(
    folder: Path, refused_path: RefusedPath, shard: str
) -> None:
    write_index(folder, GOOD_MAP | {"b": shard})
    error = refused_path(folder)
    assert (error.code, error.tensor) == (Code.SHARD_NAME, "b")


def test_shard_that_is_a_link_is_not_followed(folder: Path, refused_path: RefusedPath) -> None:
    elsewhere = folder.parent / "elsewhere.safetensors"
    (folder / SECOND).rename(elsewhere)
    (folder / SECOND).symlink_to(elsewhere)
    assert refused_path(folder).code == Code.SHARD_MISSING


@pytest.mark.parametrize("weight_map", [None, {}, [], {"a": 1}])
def test_index_without_a_map_is_refused(
    folder: Path, refused_path: RefusedPath, weight_map: Any
) -> None:
    write_index(folder, weight_map)
    assert refused_path(folder).code == Code.INDEX_INVALID


def test_index_that_is_not_json_is_refused(folder: Path, refused_path: RefusedPath) -> None:
    (folder / "model.safetensors.index.json").write_text("{weight_map}")
    assert refused_path(folder).code == Code.INDEX_INVALID


def test_index_beyond_16_mib_is_refused(folder: Path, refused_path: RefusedPath) -> None:
    (folder / "model.safetensors.index.json").write_bytes(b" " * (16 * 1024**2 + 1))
    assert refused_path(folder).code == Code.HEADER_TOO_LARGE


def test_index_of_a_thousand_and_one_shards_is_refused(
    folder: Path, refused_path: RefusedPath
) -> None:
    write_index(folder, {f"w{number}": f"{number}.safetensors" for number in range(1001)})
    assert refused_path(folder).code == Code.INDEX_INVALID


def test_folder_of_ten_thousand_files_is_refused(folder: Path, refused_path: RefusedPath) -> None:
    for number in range(10_000):
        (folder / f"{number}").touch()
    assert refused_path(folder).code == Code.FOLDER


def test_hostile_tensor_name_in_the_index_is_refused(
    folder: Path, refused_path: RefusedPath
) -> None:
    write_index(folder, GOOD_MAP | {"../x": SECOND})
    assert refused_path(folder).code == Code.TENSOR_NAME


def test_broken_shard_is_refused(folder: Path, refused_path: RefusedPath) -> None:
    (folder / SECOND).write_bytes((folder / SECOND).read_bytes()[:-1])
    error = refused_path(folder)
    assert (error.code, error.tensor) == (Code.TRUNCATED, "b")


def test_folder_with_code_is_refused(folder: Path, refused_path: RefusedPath) -> None:
    (folder / "modeling_x.py").write_text("")
    assert refused_path(folder).code == Code.HAS_CODE


def test_folder_without_an_index_is_refused(folder: Path, refused_path: RefusedPath) -> None:
    (folder / "model.safetensors.index.json").unlink()
    assert refused_path(folder).code == Code.FOLDER


def test_folder_with_two_indexes_is_refused(folder: Path, refused_path: RefusedPath) -> None:
    (folder / "other.safetensors.index.json").write_text("{}")
    assert refused_path(folder).code == Code.FOLDER
