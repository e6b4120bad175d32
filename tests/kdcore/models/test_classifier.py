"""Normalisation travels with the network and stays out of its weights."""

# B batch, C channels, H height, W width

import torch

from kdcore.models import Classifier, build_network
from kdcore.spec import ImageInput, Mlp, NetworkDescription

IMAGE = ImageInput(channels=2, height=3, width=3, mean=(0.25, 0.5), std=(0.5, 0.125))
DESCRIPTION = NetworkDescription(architecture=Mlp(hidden=(4,)), input=IMAGE, num_classes=3)


def test_network_sees_images_less_the_mean_over_the_std() -> None:
    seen: list[torch.Tensor] = []

    class Recorder(torch.nn.Module):
        def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
            seen.append(images_BCHW)
            return images_BCHW.flatten(1)

    Classifier(Recorder(), IMAGE)(torch.full((1, 2, 3, 3), 0.75))

    expected_BCHW = torch.ones(1, 2, 3, 3)
    expected_BCHW[:, 1] = 2.0
    assert torch.equal(seen[0], expected_BCHW)


def test_mean_and_std_are_not_in_the_state_dict() -> None:
    network = build_network(DESCRIPTION, seed=0)

    names = set(Classifier(network, IMAGE).state_dict())

    assert names == {f"network.{name}" for name in network.state_dict()}


def test_mean_and_std_are_on_the_networks_device_and_follow_it() -> None:
    classifier = Classifier(build_network(DESCRIPTION, device="meta"), IMAGE)
    assert classifier.mean_C11.is_meta

    moved = Classifier(build_network(DESCRIPTION, seed=0), IMAGE).to("meta")
    assert moved.std_C11.is_meta


def test_channels_last_images_stay_channels_last() -> None:
    class Identity(torch.nn.Module):
        def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
            return images_BCHW

    images_BCHW = torch.rand(2, 2, 3, 3).to(memory_format=torch.channels_last)

    normalised_BCHW = Classifier(Identity(), IMAGE)(images_BCHW)

    assert normalised_BCHW.is_contiguous(memory_format=torch.channels_last)
