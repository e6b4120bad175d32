"""Images are brought to the network's size, and layers are those of that size."""

# B batch, C channels, H height, W width

import numpy as np
import pytest
import torch
from PIL import Image

from kdcore.features import Observation, Tapped
from kdcore.models import Classifier, FittingClassifier, build_network
from kdcore.spec import Cnn, ImageInput, NetworkDescription
from kdcore.spec.architectures import Conv

IMAGE = ImageInput(channels=3, height=6, width=10, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))


def _network() -> torch.nn.Module:
    description = NetworkDescription(
        architecture=Cnn(layers=(Conv(channels=4),)), input=IMAGE, num_classes=5
    )
    return build_network(description, seed=0).eval()


def _images_BCHW(channels: int, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, channels, height, width, generator=generator)


def _seen_by(classifier: Classifier, images_BCHW: torch.Tensor) -> torch.Tensor:
    """What the network takes in, before normalisation."""
    observation: Observation = Tapped(classifier, ["layers.0@input"])(images_BCHW)
    seen_BCHW = observation.features["layers.0@input"]
    return seen_BCHW * classifier.std_C11 + classifier.mean_C11


def test_images_that_fit_are_answered_as_by_a_plain_classifier() -> None:
    network, images_BCHW = _network(), _images_BCHW(3, 6, 10)
    assert torch.equal(
        FittingClassifier(network, IMAGE)(images_BCHW), Classifier(network, IMAGE)(images_BCHW)
    )


@pytest.mark.parametrize("size", [(3, 5), (12, 20), (17, 9)])
def test_images_of_another_size_are_resized_as_pillow_resizes_them(size: tuple[int, int]) -> None:
    images_BCHW = _images_BCHW(3, *size)
    seen_BCHW = _seen_by(FittingClassifier(_network(), IMAGE), images_BCHW)

    assert seen_BCHW.shape[1:] == IMAGE.shape_CHW
    for image_CHW, seen_CHW in zip(images_BCHW, seen_BCHW, strict=True):
        for channel_HW, seen_HW in zip(image_CHW, seen_CHW, strict=True):
            picture = Image.fromarray(channel_HW.numpy())
            resized = picture.resize((10, 6), Image.Resampling.BILINEAR)
            np.testing.assert_allclose(seen_HW.detach().numpy(), np.asarray(resized), atol=1e-5)


def test_values_stay_between_0_and_1() -> None:
    images_BCHW = (_images_BCHW(3, 13, 7) > 0.5).float()
    seen_BCHW = _seen_by(FittingClassifier(_network(), IMAGE), images_BCHW)
    assert float(seen_BCHW.min()) >= -1e-6
    assert float(seen_BCHW.max()) <= 1 + 1e-6


def test_grey_images_are_repeated_for_a_network_of_three_channels() -> None:
    images_BCHW = _images_BCHW(1, 6, 10)
    classifier = FittingClassifier(_network(), IMAGE)
    assert torch.equal(classifier(images_BCHW), classifier(images_BCHW.repeat(1, 3, 1, 1)))
