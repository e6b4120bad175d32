"""Distances and angles between embeddings against a peer's numbers, closed forms and traps."""

# B batch, C channels, D width of an embedding, H height, W width

from collections.abc import Callable
from typing import Any

import pytest
import torch

from kdcore.features import Observation
from kdcore.methods import Labels, MethodInputs, Objective, Step, build_stages
from kdcore.methods.rkd import angle_loss, distance_loss
from kdcore.spec import ImageInput, Mlp, NetworkDescription, Rkd
from kdcore.spec.methods import LayerPair
from tests.kdcore.methods.peers import cases_of

STUDENT = NetworkDescription(
    architecture=Mlp(hidden=(4,)),
    input=ImageInput(channels=1, height=2, width=2),
    num_classes=4,
)
LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "distance": distance_loss,
    "angle": angle_loss,
}

both = pytest.mark.parametrize("loss_of", LOSSES.values(), ids=LOSSES.keys())


def _embeddings_BD(seed: int, *, batch: int = 6, width: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, width, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("case", cases_of("repdistiller_rkd"))
def test_loss_and_gradient_equal_those_of_repdistiller(case: dict[str, Any], name: str) -> None:
    student_BD = torch.tensor(case["student"], dtype=torch.float64, requires_grad=True)
    teacher_BD = torch.tensor(case["teacher"], dtype=torch.float64)

    loss = LOSSES[name](student_BD, teacher_BD)
    (gradient_BD,) = torch.autograd.grad(loss, student_BD)

    assert loss.item() == pytest.approx(case[name]["loss"], rel=1e-10)
    expected_BD = torch.tensor(case[name]["student_gradient"], dtype=torch.float64)
    torch.testing.assert_close(gradient_BD, expected_BD, rtol=1e-8, atol=1e-12)


def test_distances_are_what_one_works_out_by_hand() -> None:
    # Student's distances 1, 1, 2 over their mean 4/3; the teacher's all equal, so 1 each.
    student_BD = torch.tensor([[0.0], [1.0], [2.0]])
    teacher_BD = torch.eye(3)

    # Of nine pairs four are off by 1/4 and two by 1/2; Huber halves the squares.
    expected = (4 * 0.5 * 0.25**2 + 2 * 0.5 * 0.5**2) / 9
    assert distance_loss(student_BD, teacher_BD).item() == pytest.approx(expected)


def test_angles_are_what_one_works_out_by_hand() -> None:
    # A right angle with two of 45 degrees against three on a line: cosines 0, √½, √½ and -1, 1, 1.
    student_BD = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    teacher_BD = torch.tensor([[0.0], [1.0], [-1.0]], dtype=torch.float64)

    # Each angle occurs twice among the 27 triplets.
    expected = 2 * (0.5 * 1.0**2 + 2 * 0.5 * (1 - 0.5**0.5) ** 2) / 27
    assert angle_loss(student_BD, teacher_BD).item() == pytest.approx(expected)


@both
def test_moved_scaled_and_turned_embeddings_give_zero(
    loss_of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> None:
    teacher_BD = _embeddings_BD(0)
    turn_DD = torch.linalg.qr(_embeddings_BD(1, batch=5))[0]

    assert loss_of(3.0 * teacher_BD @ turn_DD + 7.0, teacher_BD).item() < 1e-25


@both
def test_gradient_passes_gradcheck(
    loss_of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> None:
    student_BD = _embeddings_BD(2, batch=4, width=3).requires_grad_()

    assert torch.autograd.gradcheck(
        lambda s_BD: loss_of(s_BD, _embeddings_BD(3, batch=4, width=6)), student_BD
    )


@both
@pytest.mark.parametrize("batch", [1, 2])
def test_one_or_two_images_give_zero_and_no_gradient(
    batch: int, loss_of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
) -> None:
    student_BD = _embeddings_BD(4, batch=batch).float().requires_grad_()

    loss = loss_of(student_BD, _embeddings_BD(5, batch=batch).float())
    (gradient_BD,) = torch.autograd.grad(loss, student_BD)

    assert loss.item() == 0.0
    assert gradient_BD.abs().max().item() < 1e-6


@both
def test_images_on_one_point_give_finite_and_small_gradients(
    loss_of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> None:
    # The trap: a square root at 0 has no gradient, and dividing by its guard gives 1e12 of it.
    student_BD = _embeddings_BD(6).float()
    student_BD[1] = student_BD[0]
    student_BD.requires_grad_()

    loss = loss_of(student_BD, _embeddings_BD(7).float())
    (gradient_BD,) = torch.autograd.grad(loss, student_BD)

    assert torch.isfinite(loss)
    assert gradient_BD.abs().max().item() < 10.0


@both
def test_batch_that_all_falls_on_one_point_is_finite(
    loss_of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> None:
    student_BD = torch.ones(5, 3, requires_grad=True)

    loss = loss_of(student_BD, _embeddings_BD(8, batch=5).float())
    (gradient_BD,) = torch.autograd.grad(loss, student_BD)

    assert torch.isfinite(loss)
    assert gradient_BD.abs().max().item() == 0.0


@both
def test_half_precision_embeddings_are_computed_in_float32_also_inside_autocast(
    loss_of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> None:
    student_BD, teacher_BD = _embeddings_BD(9).bfloat16(), _embeddings_BD(10).bfloat16()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = loss_of(student_BD, teacher_BD)

    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(
        loss_of(student_BD.double(), teacher_BD.double()).item(), rel=1e-5
    )


def _objective(spec: Rkd) -> Objective:
    (stage,) = build_stages(spec, MethodInputs(STUDENT))
    return stage.objective


def _step(
    student: dict[str, torch.Tensor], teacher: dict[str, torch.Tensor] | None, *, batch: int = 6
) -> Step:
    return Step(
        student=Observation(torch.zeros(batch, 4), student),
        teacher=None if teacher is None else Observation(None, teacher),
        labels=Labels(torch.zeros(batch, dtype=torch.int64)),
        images_BCHW=torch.zeros(batch, 1, 2, 2),
        indices_B=torch.arange(batch),
        epoch=0.0,
    )


def test_terms_are_weighted_and_summed_over_pairs_of_flattened_layers() -> None:
    pairs = (LayerPair(teacher="a", student="b"), LayerPair(teacher="c", student="d"))
    objective = _objective(Rkd(ce_weight=0.0, distance_weight=2.0, angle_weight=3.0, layers=pairs))
    maps_BCHW = _embeddings_BD(11, width=12).reshape(6, 3, 2, 2)
    student = {"b": maps_BCHW, "d": _embeddings_BD(12)}
    teacher = {"a": _embeddings_BD(13), "c": _embeddings_BD(14)}

    losses = objective(_step(student, teacher))

    distances = distance_loss(maps_BCHW.flatten(1), teacher["a"]) + distance_loss(
        student["d"], teacher["c"]
    )
    angles = angle_loss(maps_BCHW.flatten(1), teacher["a"]) + angle_loss(student["d"], teacher["c"])
    torch.testing.assert_close(losses.terms["rkd_distance"], distances)
    torch.testing.assert_close(losses.terms["rkd_angle"], angles)
    torch.testing.assert_close(losses.total, 2 * distances + 3 * angles)


def test_without_labels_and_soft_targets_neither_network_runs_to_its_end() -> None:
    objective = _objective(Rkd(ce_weight=0.0, layers=(LayerPair(teacher="a", student="b"),)))

    assert (objective.student_layers, objective.teacher_layers) == (("b",), ("a",))
    assert not objective.needs_student_logits
    assert not objective.needs_teacher_logits


def test_soft_targets_join_with_their_weight() -> None:
    pairs = (LayerPair(teacher="a", student="b"),)
    objective = _objective(Rkd(kd_weight=0.5, layers=pairs))

    assert objective.needs_teacher_logits
    assert objective.weights == (1.0, 0.5, 25.0, 50.0)


def test_missing_teacher_is_refused() -> None:
    objective = _objective(Rkd(layers=(LayerPair(teacher="a", student="b"),)))

    with pytest.raises(ValueError, match="rkd_distance needs a teacher"):
        objective(_step({"b": _embeddings_BD(15)}, None))
