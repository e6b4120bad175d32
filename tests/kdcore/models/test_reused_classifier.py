"""A backbone under another network's classifier: built, sized and projected as the authors do."""

# B batch, C channels, H height, W width, K classes

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from kdcore.errors import IncompatibleInputs
from kdcore.models import build_network, tappable_layers
from kdcore.models.reused_classifier import ReusedClassifierNetwork
from kdcore.spec import (
    ImageInput,
    Mlp,
    NetworkDescription,
    ResnetCifar,
    ReusedClassifier,
    TorchvisionClassifier,
    parse_network,
)
from kdcore.spec.architectures import Cnn, Pool

FIXTURE = Path(__file__).parents[1] / "methods" / "fixtures" / "simkd_simkd.json"
REUSED = ReusedClassifier(
    backbone=ResnetCifar(depth=8), layer="layer3", channels=12, bottleneck=6, height=4, width=4
)


def _describe(architecture: ReusedClassifier, *, side: int = 32) -> NetworkDescription:
    image = ImageInput(channels=3, height=side, width=side)
    return NetworkDescription(architecture=architecture, input=image, num_classes=7)


def _double(values: Any) -> torch.Tensor:  # nested lists, as JSON has them
    return torch.tensor(values, dtype=torch.float64)


def _cases() -> list[dict[str, Any]]:  # JSON as it was stored
    cases: list[dict[str, Any]] = json.loads(FIXTURE.read_text())["cases"]
    return cases


@pytest.mark.parametrize("case", _cases())
def test_projection_and_logits_equal_those_of_the_authors(case: dict[str, Any]) -> None:
    student_BCHW, teacher_BCHW = _double(case["student"]), _double(case["teacher"])
    side = min(student_BCHW.shape[2], teacher_BCHW.shape[2])
    channels = teacher_BCHW.shape[1]
    # The backbone gives its images back, 1x1 pooled, so that images can stand for features.
    architecture = ReusedClassifier(
        backbone=Cnn(layers=(Pool(size=1),)),
        layer="layers.0",
        channels=channels,
        bottleneck=channels // case["factor"],
        height=side,
        width=side,
    )
    image = ImageInput(
        channels=student_BCHW.shape[1], height=student_BCHW.shape[2], width=student_BCHW.shape[3]
    )
    network = build_network(
        NetworkDescription(architecture=architecture, input=image, num_classes=3)
    ).double()
    weights = {name.replace("transfer", "projector"): v for name, v in case["transfer"].items()}
    weights |= {
        "classifier.weight": case["classifier_weight"],
        "classifier.bias": case["classifier_bias"],
    }
    network.load_state_dict(
        network.state_dict() | {name: _double(values) for name, values in weights.items()}
    )

    torch.testing.assert_close(network(student_BCHW), _double(case["logits"]))


def test_description_alone_rebuilds_it() -> None:
    description = parse_network(_describe(REUSED).model_dump_json().encode())

    first, second = (build_network(description, seed=3) for _ in range(2))

    images_BCHW = torch.rand(2, 3, 32, 32)
    assert torch.equal(first.eval()(images_BCHW), second.eval()(images_BCHW))
    assert first(images_BCHW).shape == (2, 7)


def test_backbone_begins_with_the_weights_of_the_plain_network_of_that_seed() -> None:
    plain = build_network(
        NetworkDescription(
            architecture=REUSED.backbone,
            input=ImageInput(channels=3, height=32, width=32),
            num_classes=7,
        ),
        seed=3,
    ).state_dict()

    reused = build_network(_describe(REUSED), seed=3).state_dict()

    backbone = {name: value for name, value in reused.items() if name.startswith("backbone.")}
    assert {name.removeprefix("backbone.") for name in backbone} == {
        name for name in plain if not name.startswith("fc.")
    }
    assert all(
        torch.equal(value, plain[name.removeprefix("backbone.")])
        for name, value in backbone.items()
    )


def test_projected_map_can_be_tapped_and_has_the_declared_size() -> None:
    shapes = {layer.name: layer.shape for layer in tappable_layers(_describe(REUSED))}

    assert shapes["projector"] == (12, 4, 4)
    assert shapes["backbone.layer3"] == (64, 8, 8)


def test_vector_counts_as_a_map_of_one_pixel_with_a_projector_without_dead_weights() -> None:
    architecture = ReusedClassifier(
        backbone=Mlp(hidden=(9,)),
        layer="classifier@input",
        channels=5,
        bottleneck=4,
        height=1,
        width=1,
    )
    network = build_network(_describe(architecture))

    assert network(torch.rand(2, 3, 32, 32)).shape == (2, 7)
    assert network.state_dict()["projector.3.weight"].shape == (4, 4, 1, 1)


@pytest.mark.parametrize(("activation", "has_negatives"), [("relu", False), ("none", True)])
def test_projector_ends_as_the_classifier_is_used_to(
    activation: Any, has_negatives: bool
) -> None:  # a Literal
    architecture = REUSED.model_copy(update={"activation": activation})
    network = build_network(_describe(architecture), seed=0)
    assert isinstance(network, ReusedClassifierNetwork)
    seen: list[torch.Tensor] = []
    network.projector.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    network(torch.rand(4, 3, 32, 32))

    assert bool((seen[0] < 0).any()) is has_negatives


def test_backbone_that_gives_tokens_is_refused() -> None:
    architecture = ReusedClassifier(
        backbone=TorchvisionClassifier(architecture="torchvision/vit_b_32"),
        layer="encoder",
        channels=5,
        bottleneck=4,
        height=1,
        width=1,
    )
    with pytest.raises(IncompatibleInputs, match="neither a map nor a vector"):
        build_network(_describe(architecture, side=64), device="meta")


def test_all_of_it_trains() -> None:
    network = build_network(_describe(REUSED), seed=0)
    network(torch.rand(4, 3, 32, 32)).square().sum().backward()

    assert all(parameter.grad is not None for parameter in network.parameters())
    assert isinstance(network.get_submodule("classifier"), nn.Linear)
