"""What a network costs: parameters, and floating-point operations of one image."""

from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from kdcore.models.dry_run import dry_run
from kdcore.spec.networks import ImageInput


def count_parameters(network: nn.Module) -> int:
    """Count the trainable numbers; a tensor used in two places counts once, buffers do not."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_flops(network: nn.Module, image: ImageInput) -> int:
    """Count the operations of one image: 2 per multiply-add of convolutions and products.

    Biases, normalisation, activations and pooling are not counted, as usual. Nothing is
    computed: the network runs on meta tensors, whatever device it is on.
    """
    with FlopCounterMode(display=False) as counter:
        dry_run(network, image)
    return int(counter.get_total_flops())
