"""Parameters and operations of a described network by arithmetic alone, without torch.

Equal to `kdcore.models.count_parameters` and `count_flops`, for those that must not load torch.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import prod

from kdcore.catalog.cnn_shapes import PlannedLayer, features_after, plan_cnn
from kdcore.catalog.limits import MAX_PARAMETERS
from kdcore.errors import IncompatibleInputs
from kdcore.spec.architectures import (
    Cnn,
    Conv,
    Linear,
    Mlp,
    Norm,
    ResnetCifar,
    ReusedClassifier,
    TorchvisionClassifier,
    Wrn,
)
from kdcore.spec.networks import NetworkDescription


@dataclass(frozen=True)
class Cost:
    """Trainable numbers, and operations of one image: 2 per multiply-add of conv and linear."""

    parameters: int
    flops: int

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.parameters + other.parameters, self.flops + other.flops)


_NOTHING = Cost(0, 0)


def network_cost(description: NetworkDescription) -> Cost | None:
    """Work out the cost; None where only torch can tell.

    That is for `torchvision/<name>`, and for a `reused_classifier` on it or on a backbone that is
    cut elsewhere than before its classifier.

    Raises:
        SpecInvalid, IncompatibleInputs: as `plan_cnn`, for a `cnn` whose layers do not fit.
    """
    match description.architecture:
        case Mlp() as mlp:
            return _mlp(mlp, description)
        case Cnn() as cnn:
            return _cnn(cnn, description)
        case ResnetCifar() as resnet:
            return _resnet_cifar(resnet, description)
        case ReusedClassifier() as reused:
            return _reused_classifier(reused, description)
        case Wrn() as wrn:
            return _wrn(wrn, description)
        case TorchvisionClassifier():
            return None


def check_network_size(description: NetworkDescription) -> None:
    """Refuse a network too large to be built; every torchvision classifier is small enough.

    Raises:
        IncompatibleInputs: more than `MAX_PARAMETERS`.
        SpecInvalid, IncompatibleInputs: as `network_cost`.
    """
    architecture = description.architecture
    if isinstance(architecture, ReusedClassifier):
        # The whole of it is built before it is cut.
        check_network_size(description.model_copy(update={"architecture": architecture.backbone}))
    cost = network_cost(description)
    if cost is not None and cost.parameters > MAX_PARAMETERS:
        raise IncompatibleInputs(
            "network_too_large",
            f"This {description.architecture.architecture} has {cost.parameters:,} parameters, "
            f"and at most {MAX_PARAMETERS:,} are accepted. Use fewer or narrower layers.",
        )


def _mlp(mlp: Mlp, description: NetworkDescription) -> Cost:
    features = [prod(description.input.shape_CHW), *mlp.hidden, description.num_classes]
    return sum((_linear(*sizes) for sizes in pairwise(features)), start=_NOTHING)


def _cnn(cnn: Cnn, description: NetworkDescription) -> Cost:
    planned = plan_cnn(cnn, description.input)
    classifier = _linear(features_after(planned), description.num_classes)
    return sum((_declared(layer) for layer in planned), start=classifier)


def _declared(planned: PlannedLayer) -> Cost:
    entering, leaving = planned.input_shape[0], planned.output_shape
    match planned.layer:
        case Conv() as conv:
            bias = conv.channels if conv.bias else 0
            return _conv(entering, leaving, kernel_size=conv.kernel_size) + Cost(bias, 0)
        case Linear() as linear:
            return _linear(entering, linear.features, bias=linear.bias)
        case Norm():
            return _batch_norm(entering)
        case _:
            return _NOTHING


def _resnet_cifar(resnet: ResnetCifar, description: NetworkDescription) -> Cost:
    _, height, width = description.input.shape_CHW
    entering = resnet.stem_width or resnet.width
    cost = _conv(description.input.channels, (entering, height, width), kernel_size=3)
    cost += _batch_norm(entering)
    for stage in range(3):
        leaving = resnet.width * 2**stage
        stride = 1 if stage == 0 else 2
        height, width = _halved(height, stride), _halved(width, stride)
        shape = leaving, height, width
        for block in range((resnet.depth - 2) // 6):
            cost += _conv(entering, shape, kernel_size=3) + _conv(leaving, shape, kernel_size=3)
            cost += _batch_norm(leaving) + _batch_norm(leaving)
            if entering != leaving or (block == 0 and stride != 1):
                cost += _conv(entering, shape, kernel_size=1) + _batch_norm(leaving)
            entering = leaving
    return cost + _linear(entering, description.num_classes)


def _wrn(wrn: Wrn, description: NetworkDescription) -> Cost:
    _, height, width = description.input.shape_CHW
    entering = 16
    cost = _conv(description.input.channels, (entering, height, width), kernel_size=3)
    for stage in range(3):
        leaving = 16 * wrn.widen_factor * 2**stage
        stride = 1 if stage == 0 else 2
        height, width = _halved(height, stride), _halved(width, stride)
        shape = leaving, height, width
        for _ in range((wrn.depth - 4) // 6):
            cost += _batch_norm(entering) + _batch_norm(leaving)
            cost += _conv(entering, shape, kernel_size=3) + _conv(leaving, shape, kernel_size=3)
            if entering != leaving:
                cost += _conv(entering, shape, kernel_size=1)
            entering = leaving
    return cost + _batch_norm(entering) + _linear(entering, description.num_classes)


def _reused_classifier(reused: ReusedClassifier, description: NetworkDescription) -> Cost | None:
    backbone = description.model_copy(update={"architecture": reused.backbone})
    whole, entering = network_cost(backbone), _features_before_classifier(reused, description)
    if whole is None or entering is None:
        return None
    channels, flat = entering
    classifier = _linear(flat, description.num_classes)
    cost = Cost(whole.parameters - classifier.parameters, whole.flops - classifier.flops)
    size = reused.height, reused.width
    middle = reused.bottleneck, *size
    leaving = reused.channels, *size
    cost += _conv(channels, middle, kernel_size=1) + _batch_norm(reused.bottleneck)
    kernel_size = 1 if size == (1, 1) else 3
    cost += _conv(reused.bottleneck, middle, kernel_size=kernel_size)
    cost += _batch_norm(reused.bottleneck)
    cost += _conv(reused.bottleneck, leaving, kernel_size=1) + _batch_norm(reused.channels)
    return cost + _linear(reused.channels, description.num_classes)


def _features_before_classifier(
    reused: ReusedClassifier, description: NetworkDescription
) -> tuple[int, int] | None:
    """Give channels that the projector takes and features that the backbone's classifier took.

    None where the cut leaves out more of the backbone than its classifier.
    """
    match reused.backbone:
        case Mlp() as mlp if reused.layer == "classifier@input":
            features = [prod(description.input.shape_CHW), *mlp.hidden][-1]
            return features, features
        case Cnn() as cnn:
            planned = plan_cnn(cnn, description.input)
            flat = features_after(planned)
            if reused.layer == "classifier@input":
                return flat, flat
            is_last = reused.layer == f"layers.{len(planned) - 1}"
            return (planned[-1].output_shape[0], flat) if is_last else None
        case ResnetCifar() as resnet if reused.layer in ("layer3", "fc@input"):
            return 4 * resnet.width, 4 * resnet.width
        case Wrn() as wrn if reused.layer in ("bn1", "fc@input"):
            return 64 * wrn.widen_factor, 64 * wrn.widen_factor
        case _:
            return None


def _halved(side: int, stride: int) -> int:
    """Give a map's side after a 3x3 convolution with padding 1."""
    return (side - 1) // stride + 1


def _conv(entering: int, leaving: tuple[int, ...], *, kernel_size: int) -> Cost:
    channels, height, width = leaving
    weights = entering * channels * kernel_size**2
    return Cost(weights, 2 * weights * height * width)


def _linear(entering: int, leaving: int, *, bias: bool = True) -> Cost:
    return Cost(entering * leaving + (leaving if bias else 0), 2 * entering * leaving)


def _batch_norm(channels: int) -> Cost:
    return Cost(2 * channels, 0)
