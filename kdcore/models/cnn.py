"""The `cnn` family: a plain network declared layer by layer.

B batch, C channels, H height, W width, K classes.
"""

import torch
from torch import nn

from kdcore.catalog.cnn_shapes import PlannedLayer, features_after, plan_cnn
from kdcore.models.activations import make_activation
from kdcore.models.pointwise_convolution import make_convolution
from kdcore.spec.architectures import ActivationLayer, Cnn, Conv, Dropout, Linear, Norm, Pool
from kdcore.spec.networks import ImageInput


class CnnNetwork(nn.Module):
    """The declared layers in order, then the flattening and classifying linear layer.

    Weights start as torch's own layers make them. State-dict names: `layers.<i>.weight` with the
    index of the declared layer, and `classifier.weight`.
    """

    def __init__(self, architecture: Cnn, *, image: ImageInput, num_classes: int) -> None:
        super().__init__()
        planned = plan_cnn(architecture, image)
        self.layers = nn.ModuleList(_make_layer(layer) for layer in planned)
        self.classifier = nn.Linear(features_after(planned), num_classes)

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Take normalised images_BCHW, give logits_BK."""
        values = images_BCHW
        for layer in self.layers:
            values = layer(values.flatten(1) if isinstance(layer, nn.Linear) else values)
        return self.classifier(values.flatten(1))  # type: ignore[no-any-return]  # torch types calls of modules as Any


def _make_layer(planned: PlannedLayer) -> nn.Module:
    entering = planned.input_shape[0]
    match planned.layer:
        case Conv() as conv:
            return make_convolution(
                entering,
                conv.channels,
                conv.kernel_size,
                stride=conv.stride,
                padding=conv.padding,
                bias=conv.bias,
            )
        case Pool() as pool:
            return _make_pool(pool)
        case Linear() as linear:
            return nn.Linear(entering, linear.features, bias=linear.bias)
        case Norm():
            is_map = len(planned.input_shape) == 3
            return nn.BatchNorm2d(entering) if is_map else nn.BatchNorm1d(entering)
        case Dropout() as dropout:
            return nn.Dropout(dropout.probability)
        case ActivationLayer() as activation:
            return make_activation(activation.name)


def _make_pool(pool: Pool) -> nn.Module:
    match pool.kind:
        case "max":
            return nn.MaxPool2d(pool.size)
        case "average":
            return nn.AvgPool2d(pool.size)
        case "global_average":
            return nn.AdaptiveAvgPool2d(1)
