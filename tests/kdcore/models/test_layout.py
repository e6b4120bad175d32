"""Channels last changes where weights lie, never what they are."""

import torch
from torch import nn

from kdcore.models import channels_last


def test_convolution_weights_are_laid_out_channels_last_with_their_values_and_names() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    laid_out = channels_last(network)

    assert laid_out is network
    weight = network.get_parameter("0.weight")
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
