"""Open a stranger's checkpoint: what it is, which tensors it has, and each of them on request."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Self

import torch

from kdcore.checkpoints.entries import TensorEntry
from kdcore.checkpoints.formats import sniff
from kdcore.checkpoints.reading import OpenFile
from kdcore.checkpoints.safetensors_header import read_header
from kdcore.checkpoints.safetensors_shards import read_shards
from kdcore.checkpoints.torch_zip import read_torch_zip

ForeignFormat = Literal["safetensors", "torch_zip"]


class ForeignCheckpoint:
    """A checked, open checkpoint; nothing but its table of tensors has been read.

    Its files stay open, so what was checked is what is read; `close` it or use it in `with`.
    """

    def __init__(
        self,
        *,
        format: ForeignFormat,  # noqa: A002 - the word that users, API and reports have for it
        files: Sequence[OpenFile],
        tensors: Mapping[str, TensorEntry],
    ) -> None:
        self.format: ForeignFormat = format
        self.tensors: Mapping[str, TensorEntry] = MappingProxyType(dict(tensors))
        self._files = tuple(files)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; closing twice is fine."""
        for file in self._files:
            file.close()

    def read(self, name: str) -> torch.Tensor:
        """Return a fresh, row-major copy of one tensor on the CPU, in its own type.

        Raises:
            KeyError: if there is no tensor of that name.
            CheckpointRejected: if the file has become shorter since it was opened.
        """
        entry = self.tensors[name]
        place = entry.place
        bytes_N = self._files[place.file].read_bytes_tensor(place.offset, place.span_bytes)
        # A byte other than 0 and 1 is no bool; torch would keep it and compute with it.
        flat_N = bytes_N != 0 if entry.dtype is torch.bool else bytes_N.view(entry.dtype)
        if place.strides is None:
            return flat_N.reshape(entry.shape)
        return flat_N.as_strided(entry.shape, place.strides).contiguous()


def open_checkpoint(path: Path) -> ForeignCheckpoint:
    """Tell by its bytes what is at `path` and check it, before anything large is allocated.

    `path` is a safetensors file, a zip .pt/.pth with a state dict, or a folder of safetensors
    shards with their index.

    Raises:
        CheckpointRejected: with a code of its own for each thing that is not accepted; see
            `kdcore.checkpoints.codes.Code`.
    """
    if path.is_dir():
        files, tensors = read_shards(path)
        return ForeignCheckpoint(format="safetensors", files=files, tensors=tensors)
    file = OpenFile(path)
    try:
        if sniff(file) == "zip":
            return ForeignCheckpoint(
                format="torch_zip", files=(file,), tensors=read_torch_zip(file)
            )
        return ForeignCheckpoint(
            format="safetensors", files=(file,), tensors=read_header(file).tensors
        )
    except BaseException:
        file.close()
        raise
