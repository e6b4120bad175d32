"""BatchNorm over a single value is refused by name, and everything else is left alone."""

import pytest
import torch
from torch import nn

from kdcore.errors import IncompatibleInputs
from kdcore.trainer.batch_statistics import refuse_single_values


def network() -> nn.Sequential:
    made = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.BatchNorm1d(2))
    refuse_single_values([made])
    return made


def test_single_image_of_one_place_is_refused_with_the_layers_name() -> None:
    with pytest.raises(IncompatibleInputs, match="BatchNorm '1'") as refused:
        network()(torch.rand(1, 1, 3, 3))

    assert refused.value.code == "batch_of_one_image"
    assert refused.value.pointer == "/training/batch_size"


def test_two_images_train() -> None:
    assert network()(torch.rand(2, 1, 3, 3)).shape == (2, 2)


def test_single_image_with_several_places_trains() -> None:
    norm = nn.BatchNorm2d(2)
    refuse_single_values([norm])

    assert norm(torch.rand(1, 2, 3, 3)).shape == (1, 2, 3, 3)


def test_single_image_is_evaluated() -> None:
    assert network().eval()(torch.rand(1, 1, 3, 3)).shape == (1, 2)
