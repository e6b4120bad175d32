"""A dry run gives shapes and leaves no trace."""

# B batch, C channels, H height, W width

import pytest
import torch
from torch import nn

from kdcore.models.dry_run import dry_run
from kdcore.spec import ImageInput

IMAGE = ImageInput(channels=3, height=8, width=8)


def test_output_has_the_shape_of_the_logits_and_no_values() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(5))
    network(torch.rand(2, 3, 8, 8))

    logits_BK = dry_run(network, IMAGE, batch_size=7)

    assert logits_BK.is_meta
    assert logits_BK.shape == (7, 5)


def test_statistics_weights_and_mode_are_as_before() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Flatten())
    network[1].eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    dry_run(network, IMAGE)

    assert [module.training for module in network] == [True, False, True]
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not any(tensor.is_meta for tensor in network.state_dict().values())


def test_mode_is_as_before_also_when_the_images_do_not_fit() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 9))

    with pytest.raises(RuntimeError, match="Kernel size"):
        dry_run(network, IMAGE)

    assert network.training
    assert network[0].training
