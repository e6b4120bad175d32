"""A teacher: a frozen classifier that gives logits and that nothing can change by accident.

B batch, C channels (images) or classes (logits), H height, W width.
"""

import hashlib
from collections.abc import Sequence
from typing import Self

import torch
from torch import nn

from kdcore.features import Observation, Tapped
from kdcore.models import Classifier, channels_last


class Teacher(nn.Module):
    """Runs a classifier as a constant: always in eval mode, without gradients, in its own units.

    `train()` and `requires_grad_()` change nothing here, and what was switched behind the
    teacher's back (on a module inside, or through the parameters of a module that holds it) is
    switched back before it computes. So dropout never drops, BatchNorm statistics never move, no
    weight gets a gradient, and `digest()` after training equals `digest()` before it. Weights
    are laid out channels last.

    BatchNorm is not folded into the convolutions: measured on a resnet56 at batch 64 on two CPU
    threads that saves 7 % of the teacher's time, and then what computes would no longer be what
    is digested.

    Args:
        classifier: Taken over, not copied: frozen and set to eval mode.
        autocast_dtype: Number format of the matrix work, such as `torch.bfloat16`; None computes
            as the weights are, even where the caller is inside autocast.
    """

    def __init__(
        self, classifier: Classifier, *, autocast_dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        self.classifier = channels_last(classifier)
        self.autocast_dtype = autocast_dtype
        self._modules_inside = tuple(classifier.modules())
        self._weights = tuple(classifier.parameters())
        self._freeze()

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode, whatever `mode` asks for."""
        del mode
        return super().train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Stay without gradients, whatever `requires_grad` asks for."""
        del requires_grad
        return super().requires_grad_(False)

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Take float images_BCHW in [0, 1], give logits_BC in float32 that a loss may keep.

        Runs under `no_grad`, not `inference_mode`: the loss saves what it gets for its backward
        pass, which torch refuses for inference tensors, and the two are equally fast here.
        """
        return self.observe(images_BCHW).logits

    def observe(
        self, images_BCHW: torch.Tensor, layers: Sequence[str] = (), *, to_end: bool = True
    ) -> Observation:
        """Answer like `forward`, together with the outputs of named layers, all in float32.

        Without `to_end` the network runs only as far as the last of `layers`.
        """
        self._freeze()
        autocast = torch.autocast(
            images_BCHW.device.type,
            dtype=self.autocast_dtype,
            enabled=self.autocast_dtype is not None,
        )
        with torch.no_grad(), autocast:
            seen: Observation = Tapped(self.classifier, layers, to_end=to_end)(images_BCHW)
        return Observation(
            None if seen.logits_BC is None else seen.logits_BC.float(),
            {name: value.float() for name, value in seen.features.items()},
        )

    def _freeze(self) -> None:
        # Called at every step, so it looks before it acts.
        if any(module.training for module in self._modules_inside):
            self.train()
        if any(weight.requires_grad for weight in self._weights):
            self.requires_grad_()

    def digest(self) -> str:
        """Compute sha256 over name, type, shape and values of all weights and statistics."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.classifier.network.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            # Contiguous: the values count, not their layout in memory.
            values = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(values.numpy())
        return digest.hexdigest()
