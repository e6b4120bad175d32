"""The `mlp` family: linear layers on the flattened image.

B batch, C channels, H height, W width, K classes.
"""

from collections import OrderedDict
from math import prod

import torch
from torch import nn

from kdcore.models.activations import make_activation
from kdcore.spec.architectures import Mlp
from kdcore.spec.networks import ImageInput


class MlpNetwork(nn.Module):
    """Flatten, drop pixels, then each hidden layer with activation and dropout, then logits.

    Weights start as torch's `nn.Linear` makes them. State-dict names: `hidden.<i>.linear.weight`
    and `.bias`, `classifier.weight` and `.bias`.
    """

    def __init__(self, architecture: Mlp, *, image: ImageInput, num_classes: int) -> None:
        super().__init__()
        self.input_dropout = nn.Dropout(architecture.input_dropout)
        self.hidden = nn.Sequential()
        features = prod(image.shape_CHW)
        for units in architecture.hidden:
            self.hidden.append(_hidden_layer(architecture, features, units))
            features = units
        self.classifier = nn.Linear(features, num_classes)

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Take normalised images_BCHW, give logits_BK."""
        # Flattened as channels, height, width also when the memory is laid out channels last.
        return self.classifier(self.hidden(self.input_dropout(images_BCHW.flatten(1))))  # type: ignore[no-any-return]  # torch types calls of modules as Any


def _hidden_layer(architecture: Mlp, features: int, units: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            linear=nn.Linear(features, units),
            activation=make_activation(architecture.activation),
            dropout=nn.Dropout(architecture.dropout),
        )
    )
