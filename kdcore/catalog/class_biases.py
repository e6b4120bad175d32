"""Which architectures have a bias for each class, so that a calibration can shift it."""

from kdcore.spec.architectures import Architecture

# squeezenet ends in a convolution, ReLU and pooling, maxvit in a linear layer without bias.
_WITHOUT = frozenset(
    {"torchvision/maxvit_t", "torchvision/squeezenet1_0", "torchvision/squeezenet1_1"}
)


def has_class_biases(architecture: Architecture) -> bool:
    """Tell whether the logits come from a linear layer with a bias; without torch."""
    return architecture.architecture not in _WITHOUT
