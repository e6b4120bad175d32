"""A folder of safetensors shards: the index, and that every shard holds what the index says."""

import os
import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from kdcore.checkpoints import limits
from kdcore.checkpoints.codes import Code, refusal
from kdcore.checkpoints.entries import TensorEntry
from kdcore.checkpoints.formats import format_refusal
from kdcore.checkpoints.reading import OpenFile
from kdcore.checkpoints.safetensors_header import check_tensor_name, parse_json_object, read_header

INDEX_SUFFIX = ".safetensors.index.json"
_SHARD_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}\.safetensors")
_UPLOAD_ALL = "Give the index and all the shards that were saved with it."


def read_shards(folder: Path) -> tuple[list[OpenFile], dict[str, TensorEntry]]:
    """Open every shard that the folder's one index names and check that they agree.

    Returns the open files, which the caller closes, and the tensors by name.

    Raises:
        CheckpointRejected: if index and shards do not hold exactly the same tensors.
    """
    weight_map = _read_index(folder / _index_name(folder))
    tensors: dict[str, TensorEntry] = {}
    with ExitStack() as opened:
        files: list[OpenFile] = []
        for number, shard in enumerate(sorted(set(weight_map.values()))):
            files.append(opened.enter_context(_open_shard(folder, shard)))
            for name, entry in read_header(files[-1]).tensors.items():
                if weight_map.get(name) != shard:
                    raise _mismatch(name, weight_map)
                tensors[name] = replace(entry, place=replace(entry.place, file=number))
        missing = next((name for name in weight_map if name not in tensors), None)
        if missing is not None:
            raise _mismatch(missing, weight_map)
        opened.pop_all()
    return files, tensors


def _index_name(folder: Path) -> str:
    names: list[str] = []
    with os.scandir(folder) as listing:
        for entry in listing:
            names.append(entry.name)
            if len(names) > limits.MAX_FOLDER_ENTRIES:
                raise format_refusal(Code.FOLDER)
    if any(name.endswith(".py") for name in names):
        raise format_refusal(Code.HAS_CODE)
    indexes = [name for name in names if name.endswith(INDEX_SUFFIX)]
    if len(indexes) != 1:
        raise format_refusal(Code.FOLDER)
    return indexes[0]


def _read_index(path: Path) -> dict[str, str]:
    """Return which shard each tensor is in, with every name checked."""
    with OpenFile(path, follow_symlinks=False) as file:
        if file.size > limits.MAX_HEADER_BYTES:
            raise refusal(Code.HEADER_TOO_LARGE, f"The index is larger than 16 MiB. {_UPLOAD_ALL}")
        document = parse_json_object(file.read(0, file.size).lstrip(), Code.INDEX_INVALID)
    weight_map = document.get("weight_map")
    if (
        not isinstance(weight_map, dict)
        or not 0 < len(weight_map) <= limits.MAX_TENSORS
        or not all(isinstance(shard, str) for shard in weight_map.values())
    ):
        raise refusal(
            Code.INDEX_INVALID,
            "The index has no `weight_map` from tensor names to shard names. Save it again with "
            "the library that made the shards.",
        )
    for position, (name, shard) in enumerate(weight_map.items()):
        check_tensor_name(name, position)
        if _SHARD_NAME.fullmatch(shard) is None:
            raise refusal(
                Code.SHARD_NAME,
                f"The index puts tensor {name} into a file whose name is not allowed. Shards are "
                "plain *.safetensors names in the same folder.",
                tensor=name,
            )
    if len(set(weight_map.values())) > limits.MAX_SHARDS:
        raise refusal(Code.INDEX_INVALID, f"The index names more than {limits.MAX_SHARDS} shards.")
    return weight_map


def _open_shard(folder: Path, shard: str) -> OpenFile:
    try:
        return OpenFile(folder / shard, follow_symlinks=False)
    except OSError:
        raise refusal(
            Code.SHARD_MISSING,
            f"The index names the shard {shard}, which is not there. {_UPLOAD_ALL}",
            expected=shard,
        ) from None


def _mismatch(name: str, weight_map: Mapping[str, str]) -> Exception:
    return refusal(
        Code.SHARD_MISMATCH,
        f"Tensor {name} is not in the shard that the index gives for it. {_UPLOAD_ALL}",
        tensor=name,
        expected=weight_map.get(name, "not in the index"),
    )
