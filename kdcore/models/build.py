"""Builds the network that a description names, with initial weights that a seed decides."""

import torch
from torch import nn

from kdcore.catalog.cost import check_network_size
from kdcore.models.cnn import CnnNetwork
from kdcore.models.mlp import MlpNetwork
from kdcore.models.resnet_cifar import ResnetCifarNetwork
from kdcore.models.reused_classifier import ReusedClassifierNetwork
from kdcore.models.torchvision_classifier import torchvision_classifier
from kdcore.models.wrn import WrnNetwork
from kdcore.spec.architectures import (
    Cnn,
    Mlp,
    ResnetCifar,
    ReusedClassifier,
    TorchvisionClassifier,
    Wrn,
)
from kdcore.spec.networks import NetworkDescription


def build_network(
    description: NetworkDescription,
    *,
    device: torch.device | str = "cpu",
    seed: int | None = None,
) -> nn.Module:
    """Build the network, in training mode, float32, taking normalised images_BCHW.

    The weights depend on `seed` alone: they are drawn on the CPU and then moved, and torch's
    global generator is left as it was. Without a seed they are arbitrary, for callers that load
    weights. On the device "meta" nothing is allocated.

    Pointers in the errors start at the architecture, such as `/layers/3`.

    Raises:
        SpecInvalid: a declared layer stands where it can never stand.
        IncompatibleInputs: the architecture does not take images of this size or these channels,
            or (not on "meta") has more than `kdcore.catalog.limits.MAX_PARAMETERS` parameters.
    """
    device = torch.device(device)
    if device.type == "meta":
        with device:
            return _construct(description)
    check_network_size(description)
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        if seed is not None:
            torch.default_generator.manual_seed(seed)
        network = _construct(description)
    return network.to(device)


def _construct(description: NetworkDescription) -> nn.Module:
    image, num_classes = description.input, description.num_classes
    match description.architecture:
        case Mlp() as mlp:
            return MlpNetwork(mlp, image=image, num_classes=num_classes)
        case Cnn() as cnn:
            return CnnNetwork(cnn, image=image, num_classes=num_classes)
        case ResnetCifar() as resnet:
            return ResnetCifarNetwork(resnet, image=image, num_classes=num_classes)
        case ReusedClassifier() as reused:
            backbone = _construct(description.model_copy(update={"architecture": reused.backbone}))
            return ReusedClassifierNetwork(reused, backbone, image=image, num_classes=num_classes)
        case Wrn() as wrn:
            return WrnNetwork(wrn, image=image, num_classes=num_classes)
        case TorchvisionClassifier() as classifier:
            return torchvision_classifier(classifier, image=image, num_classes=num_classes)
