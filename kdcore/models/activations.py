"""The element-wise non-linearities that a spec can name."""

from torch import nn

from kdcore.spec.architectures import Activation


def make_activation(name: Activation) -> nn.Module:
    """Make the module for `name`; never in place, so that a hooked tensor stays as it was."""
    match name:
        case "relu":
            return nn.ReLU()
        case "leaky_relu":
            return nn.LeakyReLU(0.01)
        case "gelu":
            return nn.GELU()
        case "silu":
            return nn.SiLU()
        case "tanh":
            return nn.Tanh()
