"""Projected maps against the authors' numbers, and what the stage of `simkd` asks for."""

# B batch, C channels, H height, W width

from typing import Any

import pytest
import torch

from kdcore.features import Observation
from kdcore.methods import Labels, MethodInputs, Step, build_stages
from kdcore.methods.simkd import ProjectedMaps, projected_maps_loss
from kdcore.models import build_network
from kdcore.spec import (
    ImageInput,
    NetworkDescription,
    ResnetCifar,
    ReusedClassifier,
    SimKd,
)
from kdcore.spec.methods import LayerPair
from tests.kdcore.methods.peers import cases_of

IMAGE = ImageInput(channels=1, height=8, width=8)
PAIRS = (LayerPair(teacher="layer3", student="layer3"),)


def _double(values: Any) -> torch.Tensor:  # nested lists, as JSON has them
    return torch.tensor(values, dtype=torch.float64)


def _random(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("case", cases_of("simkd_simkd"))
def test_loss_and_gradient_equal_those_of_the_authors(case: dict[str, Any]) -> None:
    teacher_BCHW = _double(case["teacher"])
    student_BCHW = _double(case["student"]).requires_grad_()
    side, channels = min(student_BCHW.shape[2], teacher_BCHW.shape[2]), teacher_BCHW.shape[1]
    reused = ReusedClassifier(
        backbone=ResnetCifar(depth=8),
        layer="layer3",
        channels=channels,
        bottleneck=channels // case["factor"],
        height=side,
        width=side,
    )
    description = NetworkDescription(architecture=reused, input=IMAGE, num_classes=3)
    projector = build_network(description).get_submodule("projector")
    # The backbone gives 64 channels and the case has few: its first weights replace the layer's.
    projector.get_submodule("0").weight = torch.nn.Parameter(
        _double(case["transfer"]["transfer.0.weight"])
    )
    projector = projector.double()
    projector.load_state_dict(
        projector.state_dict()
        | {name.removeprefix("transfer."): _double(v) for name, v in case["transfer"].items()}
    )
    pooled_BCHW = torch.nn.functional.adaptive_avg_pool2d(student_BCHW, side)

    loss = projected_maps_loss(projector(pooled_BCHW), teacher_BCHW)
    (gradient_BCHW,) = torch.autograd.grad(loss, student_BCHW)

    assert loss.item() == pytest.approx(case["loss"], rel=1e-10)
    torch.testing.assert_close(gradient_BCHW, _double(case["student_gradient"]))


def test_loss_of_maps_that_differ_by_a_constant_is_its_square() -> None:
    maps_BCHW = _random(0, 2, 3, 4, 4)

    assert projected_maps_loss(maps_BCHW + 3.0, maps_BCHW).item() == pytest.approx(9.0)


def test_identical_maps_give_exactly_zero() -> None:
    maps_BCHW = _random(1, 2, 3, 4, 4).float()

    assert projected_maps_loss(maps_BCHW, maps_BCHW.clone()).item() == 0.0


def test_larger_map_of_the_teacher_is_averaged_not_sampled() -> None:
    teacher_BCHW = _random(2, 2, 3, 8, 8)
    averaged_BCHW = teacher_BCHW.reshape(2, 3, 4, 2, 4, 2).mean((3, 5))

    assert projected_maps_loss(averaged_BCHW, teacher_BCHW).item() < 1e-25


def test_loss_passes_gradcheck() -> None:
    assert torch.autograd.gradcheck(
        lambda maps_BCHW: projected_maps_loss(maps_BCHW, _random(3, 2, 2, 4, 4)),
        _random(4, 2, 2, 2, 2).requires_grad_(),
    )


def test_half_precision_maps_are_squared_in_float32_also_inside_autocast() -> None:
    maps_BCHW = torch.full((1, 1, 2, 2), 300.0, dtype=torch.float16)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = projected_maps_loss(maps_BCHW, torch.zeros_like(maps_BCHW))

    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(90_000.0)


def _step(student: torch.Tensor, teacher: torch.Tensor | None) -> Step:
    return Step(
        student=Observation(torch.zeros(len(student), 3), {"projector": student}),
        teacher=None if teacher is None else Observation(None, {"fc@input": teacher}),
        labels=Labels(torch.zeros(len(student), dtype=torch.int64)),
        images_BCHW=torch.zeros(len(student), 1, 8, 8),
        indices_B=torch.arange(len(student)),
        epoch=0.0,
    )


def test_relu_before_the_classifier_is_done_where_the_layer_lacks_it() -> None:
    teacher_BD = torch.tensor([[-1.0, 2.0]])
    projected_BCHW = torch.tensor([[0.0, 2.0]])[:, :, None, None]

    with_relu = ProjectedMaps("fc@input", has_relu=True)(_step(projected_BCHW, teacher_BD))
    without = ProjectedMaps("fc@input", has_relu=False)(_step(projected_BCHW, teacher_BD))

    assert with_relu.item() == 0.0
    assert without.item() == 0.5


def test_map_of_the_teacher_is_compared_as_it_is() -> None:
    maps_BCHW = _random(5, 2, 3, 4, 4).relu()

    assert ProjectedMaps("fc@input", has_relu=True)(_step(maps_BCHW, maps_BCHW)).item() == 0.0


def test_missing_teacher_is_refused() -> None:
    with pytest.raises(ValueError, match="simkd needs a teacher"):
        ProjectedMaps("fc@input", has_relu=True)(_step(torch.zeros(1, 2, 1, 1), None))


def _inputs(architecture: ResnetCifar | ReusedClassifier) -> MethodInputs:
    return MethodInputs(NetworkDescription(architecture=architecture, input=IMAGE, num_classes=3))


def test_stage_compares_the_projected_map_and_has_live_logits() -> None:
    reused = ReusedClassifier(
        backbone=ResnetCifar(depth=8),
        layer="layer3",
        channels=8,
        bottleneck=4,
        height=2,
        width=2,
        activation="none",
    )

    (stage,) = build_stages(SimKd(kd_weight=0.5, layers=PAIRS), _inputs(reused))

    objective = stage.objective
    assert objective.weights == (0.5, 1.0)
    assert objective.student_layers == ("projector",)
    assert objective.teacher_layers == ("layer3",)
    assert not objective.needs_labels
    assert list(objective.parameters()) == []
    (alone,) = build_stages(SimKd(layers=PAIRS), _inputs(reused))
    # The accuracy of every epoch is worth reading, unlike in a stage that stops before the logits.
    assert alone.objective.needs_student_logits
    assert not alone.objective.needs_teacher_logits


def test_plain_student_is_refused() -> None:
    with pytest.raises(ValueError, match="trains a reused_classifier, not a resnet_cifar"):
        build_stages(SimKd(layers=PAIRS), _inputs(ResnetCifar(depth=8)))
