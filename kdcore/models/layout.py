"""How weights lie in memory: channels last, the layout that convolutions are fastest in."""

from typing import TypeVar

import torch
from torch import nn

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def channels_last(module: ModuleT) -> ModuleT:
    """Lay out every 4-d weight of `module` channels last, in place; values and names stay."""
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]  # torch's stub lacks this overload
