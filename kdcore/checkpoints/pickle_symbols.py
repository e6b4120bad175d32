"""What the symbolic pickle reader makes of a pickle: plain descriptions, never live objects."""

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Function:
    """One of the few callables that a state dict needs, by its dotted name."""

    name: str


@dataclass(frozen=True)
class StorageType:
    """A class such as `torch.FloatStorage`, of which only the element type matters."""

    dtype: torch.dtype


@dataclass(frozen=True)
class Storage:
    """A record of the zip, as the pickle claims it to be."""

    dtype: torch.dtype
    key: str
    num_elements: int


@dataclass(frozen=True)
class Tensor:
    """A view into a storage, as the pickle claims it; no number in it is checked yet."""

    storage: Storage
    offset: Any
    shape: tuple[Any, ...]
    strides: tuple[Any, ...]


class Dictionary:
    """A dict or OrderedDict as pairs: keys from a stranger are never hashed."""

    # Slots, because a hostile file makes as many of these as it may.
    __slots__ = ("is_ordered", "pairs")

    def __init__(self, *, is_ordered: bool) -> None:
        self.is_ordered = is_ordered
        self.pairs: list[tuple[Any, Any]] = []
