"""Write and read our own safetensors files: atomic, and read back under their digest.

The format: 8 bytes little-endian header length, JSON padded with spaces to a multiple of 8, then
the tensors' bytes without holes; larger element types first, so that every tensor is aligned.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch

from kdcore.checkpoints import limits
from kdcore.checkpoints.dtypes import SAFETENSORS_NAMES
from kdcore.checkpoints.reading import OpenFile
from kdcore.checkpoints.safetensors_header import (
    LENGTH_BYTES,
    METADATA_KEY,
    SafetensorsHeader,
    read_header,
)
from kdcore.errors import CheckpointDamaged, CheckpointRejected

_ALIGNMENT = 8


def write_safetensors(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
) -> str:
    """Write the tensors and return the file's sha256 in hex.

    The file appears whole or not at all, also when the machine loses power. The bytes depend on
    the content alone. Tensors may be on any device and of any strides; those that share memory
    are written once each.

    Raises:
        ValueError: for a name or an element type that `read_safetensors` would not take.
    """
    ordered = _in_file_order(tensors)
    header = _header(ordered, metadata or {})
    digest = hashlib.sha256(header)
    with _replacing(path) as file:
        file.write(header)
        for tensor in ordered.values():
            data = _bytes_of(tensor)
            digest.update(data)
            file.write(data)
    return digest.hexdigest()


def read_safetensors(
    path: Path, *, sha256: str | None = None
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read back what `write_safetensors` wrote: fresh tensors on the CPU, and the metadata.

    With `sha256` the very bytes that become tensors are checked, not the file at another time.

    Raises:
        CheckpointDamaged: if the file is not whole or has another digest.
        FileNotFoundError: if there is no file.
    """
    with OpenFile(path) as file:
        try:
            header = read_header(file, is_ours=True)
            tensors, found = _read_all(file, header)
        except CheckpointRejected as rejection:
            raise CheckpointDamaged(f"{path.name} is damaged: {rejection.message}") from None
    if sha256 is not None and found != sha256:
        raise CheckpointDamaged(f"{path.name} has the digest {found} and should have {sha256}.")
    return tensors, header.metadata


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file in hex, without holding it in memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _in_file_order(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    for name, tensor in tensors.items():
        if (
            not limits.is_tensor_name(name)
            or name == METADATA_KEY
            or tensor.dim() > limits.MAX_RANK
        ):
            raise ValueError(f"{name!r} has a name or a rank that cannot be read back.")
        if tensor.dtype not in SAFETENSORS_NAMES:
            raise ValueError(f"{name} holds {tensor.dtype}, which safetensors cannot store.")
    return dict(sorted(tensors.items(), key=lambda item: (-item[1].dtype.itemsize, item[0])))


def _header(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> bytes:
    document: dict[str, Any] = {METADATA_KEY: dict(sorted(metadata.items()))} if metadata else {}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.numel() * tensor.dtype.itemsize
        document[name] = {
            "dtype": SAFETENSORS_NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % _ALIGNMENT)
    if len(text) > limits.MAX_HEADER_BYTES:
        raise ValueError("The names and metadata take more than the 16 MiB that can be read back.")
    return len(text).to_bytes(LENGTH_BYTES, "little") + text


def _bytes_of(tensor: torch.Tensor) -> memoryview:
    row_major = tensor.detach().cpu().contiguous().reshape(-1)
    return row_major.view(torch.uint8).numpy().data


def _read_all(file: OpenFile, header: SafetensorsHeader) -> tuple[dict[str, torch.Tensor], str]:
    """Read every tensor in the order of the file, and the digest of the whole on the way."""
    sizes = [entry.nbytes for entry in header.tensors.values()]
    digest = hashlib.sha256(file.read(0, file.size - sum(sizes)))
    tensors: dict[str, torch.Tensor] = {}
    for name, entry in header.tensors.items():
        bytes_N = file.read_bytes_tensor(entry.place.offset, entry.nbytes)
        digest.update(bytes_N.numpy().data)
        tensors[name] = bytes_N.view(entry.dtype).reshape(entry.shape)
    return tensors, digest.hexdigest()


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file beside `path` that takes its place when the block ends without an error."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
