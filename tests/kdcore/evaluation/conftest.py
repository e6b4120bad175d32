"""A small dataset and networks whose answers are known by construction."""

# N examples, H height, W width, C channels

import numpy as np
import pytest
import torch

from kdcore.data import ArrayDataset, ArraySplit, DatasetDescription, ImageShape, SplitDescription
from kdcore.models import Classifier, build_network
from kdcore.spec import ImageInput, NetworkDescription, ResnetCifar

NUM_CLASSES = 3


def _split(num_examples: int, *, seed: int) -> ArraySplit:
    generator = np.random.default_rng(seed)
    images_NHWC = generator.integers(0, 256, (num_examples, 8, 8, 1), dtype=np.uint8)
    # The dataset of a real job is a read-only map.
    images_NHWC.flags.writeable = False
    return ArraySplit(images_NHWC, np.arange(num_examples) % NUM_CLASSES)


@pytest.fixture
def dataset() -> ArrayDataset:
    train, test = _split(30, seed=0), _split(21, seed=1)
    splits = {
        name: SplitDescription(
            num_examples=len(split),
            class_counts=tuple(np.bincount(split.labels_N).tolist()),
            images_sha256="0" * 64,
            labels_sha256="0" * 64,
        )
        for name, split in (("train", train), ("test", test))
    }
    description = DatasetDescription.model_validate(
        {
            "name": "noise",
            "class_names": ("a", "b", "c"),
            "image": ImageShape(channels=1, height=8, width=8),
            "splits": splits,
            "mean": (0.5,),
            "std": (0.25,),
        }
    )
    return ArrayDataset(description, train, test)


@pytest.fixture
def description() -> NetworkDescription:
    return NetworkDescription(
        architecture=ResnetCifar(depth=8, width=4),
        input=ImageInput(channels=1, height=8, width=8, mean=(0.5,), std=(0.25,)),
        num_classes=NUM_CLASSES,
    )


@pytest.fixture
def classifier(description: NetworkDescription) -> Classifier:
    """A network with BatchNorm whose statistics are not those it starts with."""
    network = build_network(description, seed=0)
    images_BCHW = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network(images_BCHW)
    return Classifier(network, description.input)
