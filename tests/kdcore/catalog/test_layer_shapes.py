"""The list without torch is the list that the built network gives."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdcore.catalog.layer_shapes import LayerShape, layer_shapes
from kdcore.errors import IncompatibleInputs
from kdcore.models import tappable_layers
from kdcore.spec import (
    Architecture,
    Cnn,
    ImageInput,
    Mlp,
    NetworkDescription,
    ResnetCifar,
    TorchvisionClassifier,
    Wrn,
)
from kdcore.spec.architectures import ActivationLayer, Conv, Dropout, Linear, Norm, Pool


def described(
    architecture: Architecture, image: tuple[int, int, int] = (3, 32, 32), num_classes: int = 10
) -> NetworkDescription:
    channels, height, width = image
    return NetworkDescription(
        architecture=architecture,
        input=ImageInput(channels=channels, height=height, width=width),
        num_classes=num_classes,
    )


EVERY_LAYER = Cnn(
    layers=(
        Conv(channels=4, stride=2),
        Norm(),
        ActivationLayer(),
        Dropout(),
        Pool(),
        Conv(channels=6, kernel_size=5, padding=0),
        Pool(kind="average"),
        Pool(kind="global_average"),
        Linear(features=9),
        Norm(),
        Dropout(),
        Linear(features=7, bias=False),
        ActivationLayer(name="tanh"),
    )
)


@pytest.mark.parametrize(
    "architecture",
    [
        Mlp(hidden=()),
        Mlp(hidden=(7,)),
        Mlp(hidden=(7, 3, 5), dropout=0.3, input_dropout=0.1),
        EVERY_LAYER,
        ResnetCifar(depth=8),
        ResnetCifar(depth=14, stem_width=8),
        ResnetCifar(depth=8, width=5, stem_width=20),
        Wrn(depth=10),
        Wrn(depth=16, widen_factor=2),
    ],
)
@pytest.mark.parametrize("image", [(3, 32, 32), (1, 29, 42)])
def test_layers_are_those_of_the_built_network(
    architecture: Architecture, image: tuple[int, int, int]
) -> None:
    description = described(architecture, image)

    assert layer_shapes(description) == tappable_layers(description)


@given(
    st.one_of(
        st.builds(Mlp, hidden=st.lists(st.integers(1, 9), max_size=4).map(tuple)),
        st.builds(
            ResnetCifar,
            depth=st.integers(1, 3).map(lambda blocks: 6 * blocks + 2),
            width=st.integers(1, 5),
            stem_width=st.none() | st.integers(1, 5),
        ),
        st.builds(
            Wrn,
            depth=st.integers(1, 3).map(lambda blocks: 6 * blocks + 4),
            widen_factor=st.integers(1, 3),
        ),
        st.builds(
            Cnn,
            layers=st.lists(
                st.one_of(
                    st.builds(Conv, channels=st.integers(1, 5), stride=st.integers(1, 2)),
                    st.builds(Norm),
                    st.builds(Pool, size=st.just(2)),
                ),
                min_size=1,
                max_size=5,
            ).map(tuple),
        ),
    ),
    st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 40)),
    st.integers(2, 12),
)
@settings(max_examples=40, deadline=None)
def test_layers_of_any_network_are_those_of_the_built_one(
    architecture: Architecture, image: tuple[int, int, int], num_classes: int
) -> None:
    description = described(architecture, image, num_classes)
    try:
        layers = layer_shapes(description)
    except IncompatibleInputs:
        with pytest.raises(IncompatibleInputs):
            tappable_layers(description)
    else:
        assert layers == tappable_layers(description)


def test_embedding_of_a_deep_resnet_is_known_without_building_it() -> None:
    layers = layer_shapes(described(ResnetCifar(depth=110)))

    assert layers is not None
    assert layers[-2:] == (LayerShape("fc@input", (64,)), LayerShape("fc", (10,)))


def test_layers_of_torchvision_networks_are_not_known() -> None:
    network = TorchvisionClassifier(architecture="torchvision/resnet18")

    assert layer_shapes(described(network)) is None
