"""Decoupled soft targets against a peer's numbers, their closed form, and what the spec says."""

# B batch, C classes

from functools import partial
from typing import Any

import pytest
import torch

from kdcore.errors import SpecInvalid
from kdcore.features import Observation
from kdcore.methods import (
    Labels,
    LossTerms,
    MethodInputs,
    Step,
    build_stages,
    cross_entropy,
    dkd_loss,
    kd_loss,
)
from kdcore.methods.dkd import non_target_divergence, target_class_divergence, target_classes
from kdcore.spec import Dkd, ImageInput, Mlp, NetworkDescription, parse_job
from tests.kdcore.methods.peers import cases_of

TARGETS_B = torch.tensor([0, 3, 9, 4, 9, 2])
STUDENT = NetworkDescription(
    architecture=Mlp(hidden=(4,)), input=ImageInput(channels=1, height=2, width=2), num_classes=10
)


def _logits_BC(seed: int, *, batch: int = 6, classes: int = 10) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, classes, generator=generator, dtype=torch.float64)


paper_loss = partial(dkd_loss, temperature=4.0, target_weight=1.0, non_target_weight=8.0)


def _losses(
    spec: Dkd, student_BC: torch.Tensor, teacher_BC: torch.Tensor, *, epoch: float = 0.0
) -> LossTerms:
    (stage,) = build_stages(spec, MethodInputs(STUDENT))
    losses: LossTerms = stage.objective(_step(student_BC, teacher_BC, epoch=epoch))
    return losses


def _step(
    student_BC: torch.Tensor,
    teacher_BC: torch.Tensor,
    labels: Labels | None = Labels(TARGETS_B),  # noqa: B008  # frozen
    *,
    epoch: float = 0.0,
) -> Step:
    return Step(
        student=Observation(student_BC),
        teacher=Observation(teacher_BC),
        labels=labels,
        images_BCHW=torch.zeros(len(student_BC), 1, 2, 2),
        indices_B=torch.arange(len(student_BC)),
        epoch=epoch,
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("case", cases_of("mdistiller_dkd"))
def test_loss_and_gradient_equal_those_of_mdistiller(
    case: dict[str, Any], dtype: torch.dtype
) -> None:
    student_BC = torch.tensor(case["student_logits"], dtype=dtype, requires_grad=True)

    loss = dkd_loss(
        student_BC,
        torch.tensor(case["teacher_logits"], dtype=dtype),
        torch.tensor(case["targets"]),
        temperature=case["temperature"],
        target_weight=case["target_weight"],
        non_target_weight=case["non_target_weight"],
    )
    (gradient_BC,) = torch.autograd.grad(loss, student_BC)

    close = 1e-10 if dtype == torch.float64 else 1e-5
    assert loss.item() == pytest.approx(case["loss"], rel=close)
    expected_BC = torch.tensor(case["student_gradient"], dtype=dtype)
    torch.testing.assert_close(gradient_BC, expected_BC, rtol=close, atol=close)


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_with_weights_1_and_the_teachers_doubt_it_is_kd(temperature: float) -> None:
    student_BC, teacher_BC = _logits_BC(0), _logits_BC(1)
    p_BC = (teacher_BC / temperature).softmax(dim=1)
    doubt_B = 1 - p_BC.gather(1, TARGETS_B[:, None]).squeeze(1)

    target_B = target_class_divergence(student_BC, teacher_BC, TARGETS_B, temperature=temperature)
    others_B = non_target_divergence(student_BC, teacher_BC, TARGETS_B, temperature=temperature)

    expected = kd_loss(student_BC, teacher_BC, temperature=temperature)
    loss = temperature**2 * (target_B + doubt_B * others_B).mean()
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=0)


def test_loss_is_what_one_works_out_by_hand() -> None:
    # At T=2 the teacher gives (1/2, 1/4, 1/4), the student (1/4, 1/2, 1/4); the label is 0.
    teacher_BC = 2 * torch.tensor([[2.0, 1.0, 1.0]]).log()
    student_BC = 2 * torch.tensor([[1.0, 2.0, 1.0]]).log()
    targets_B = torch.tensor([0])

    loss = dkd_loss(
        student_BC, teacher_BC, targets_B, temperature=2.0, target_weight=3, non_target_weight=5
    )

    # 1/2·ln 2 + 1/2·ln(2/3) of the label; 1/2·ln(3/4) + 1/2·ln(3/2) of the others.
    target, others = 0.14384103622589045, 0.058891517828191
    assert loss.item() == pytest.approx(4 * (3 * target + 5 * others), rel=1e-5)


def test_gradient_passes_gradcheck_for_student_and_teacher() -> None:
    student_BC = _logits_BC(2, batch=3, classes=4).requires_grad_()
    teacher_BC = _logits_BC(3, batch=3, classes=4).requires_grad_()
    targets_B = torch.tensor([3, 0, 2])

    def loss_of(student_BC: torch.Tensor, teacher_BC: torch.Tensor) -> torch.Tensor:
        return paper_loss(student_BC, teacher_BC, targets_B)

    assert torch.autograd.gradcheck(loss_of, (student_BC, teacher_BC))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_identical_logits_give_exactly_zero(dtype: torch.dtype) -> None:
    logits_BC = _logits_BC(4).to(dtype)

    assert paper_loss(logits_BC, logits_BC.clone(), TARGETS_B).item() == 0.0


def test_loss_is_averaged_over_the_batch_not_summed() -> None:
    # The trap: a DKD that sums grows with the batch.
    student_BC, teacher_BC = _logits_BC(5), _logits_BC(6)

    twice = paper_loss(student_BC.repeat(2, 1), teacher_BC.repeat(2, 1), TARGETS_B.repeat(2))

    once = paper_loss(student_BC, teacher_BC, TARGETS_B)
    assert twice.item() == pytest.approx(once.item(), rel=1e-12)


def test_divergence_is_summed_over_classes_not_averaged_over_them() -> None:
    student_BC, teacher_BC = _logits_BC(7), _logits_BC(8)
    nothing_BC = torch.full((6, 90), -4000.0, dtype=torch.float64)

    wide = paper_loss(
        torch.cat([student_BC, nothing_BC], 1), torch.cat([teacher_BC, nothing_BC], 1), TARGETS_B
    )

    assert wide.item() == pytest.approx(paper_loss(student_BC, teacher_BC, TARGETS_B).item())


def test_networks_that_are_certain_of_the_label_are_compared_exactly_in_float32() -> None:
    # float32 rounds the label's probability to 1 here; log(1 − p) would be infinite.
    student_BC = (_logits_BC(9) + 60 * torch.eye(10)[TARGETS_B]).requires_grad_()
    teacher_BC = _logits_BC(10) + 90 * torch.eye(10)[TARGETS_B]
    single_BC = student_BC.detach().float().requires_grad_()
    at_one = partial(dkd_loss, temperature=1.0, target_weight=1.0, non_target_weight=8.0)

    exact = at_one(student_BC, teacher_BC, TARGETS_B)
    single = at_one(single_BC, teacher_BC.float(), TARGETS_B)

    assert single.item() == pytest.approx(exact.item(), rel=1e-5)
    (exact_BC,) = torch.autograd.grad(exact, student_BC)
    (single_gradient_BC,) = torch.autograd.grad(single, single_BC)
    torch.testing.assert_close(single_gradient_BC.double(), exact_BC, rtol=1e-4, atol=1e-6)


def test_certain_and_wrong_networks_stay_finite() -> None:
    student_BC = torch.tensor([[5000.0, -5000.0, 0.0]], requires_grad=True)
    teacher_BC = torch.tensor([[-5000.0, 5000.0, 0.0]])

    loss = dkd_loss(
        student_BC,
        teacher_BC,
        torch.tensor([1]),
        temperature=1.0,
        target_weight=1.0,
        non_target_weight=1.0,
    )
    (gradient_BC,) = torch.autograd.grad(loss, student_BC)

    # The label: −log p_s = 10,000. The others: the teacher is sure of class 2, 5000 behind.
    assert loss.item() == pytest.approx(15_000.0)
    assert gradient_BC.isfinite().all()


def test_two_classes_have_no_others_to_rank() -> None:
    student_BC, teacher_BC = _logits_BC(11, classes=2), _logits_BC(12, classes=2)
    targets_B = torch.tensor([0, 1, 0, 1, 1, 0])

    loss = paper_loss(student_BC, teacher_BC, targets_B)

    assert loss.item() == pytest.approx(kd_loss(student_BC, teacher_BC, temperature=4.0).item())


def test_inside_autocast_half_precision_logits_are_computed_in_float32() -> None:
    student_BC, teacher_BC = _logits_BC(13).bfloat16(), _logits_BC(14).bfloat16()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = paper_loss(student_BC, teacher_BC, TARGETS_B)

    assert inside.dtype == torch.float32
    assert torch.equal(inside, paper_loss(student_BC.float(), teacher_BC.float(), TARGETS_B))


def test_stage_adds_both_terms_with_their_weights() -> None:
    student_BC, teacher_BC = _logits_BC(15), _logits_BC(16)
    spec = Dkd(ce_weight=0.25, kd_weight=0.5, target_weight=2, non_target_weight=3, temperature=2)

    losses = _losses(spec, student_BC, teacher_BC)

    hard = cross_entropy(student_BC, TARGETS_B)
    soft = dkd_loss(
        student_BC, teacher_BC, TARGETS_B, temperature=2, target_weight=2, non_target_weight=3
    )
    torch.testing.assert_close(losses.total, 0.25 * hard + 0.5 * soft)
    assert losses.terms == {"cross_entropy": hard, "dkd": soft}


def test_temperature_squared_stays_when_ce_weight_is_zero() -> None:
    student_BC, teacher_BC = _logits_BC(17), _logits_BC(18)

    losses = _losses(Dkd(ce_weight=0.0), student_BC, teacher_BC)

    torch.testing.assert_close(losses.total, paper_loss(student_BC, teacher_BC, TARGETS_B))


@pytest.mark.parametrize(("epoch", "share"), [(0.0, 0.0), (5.0, 0.25), (20.0, 1.0), (30.0, 1.0)])
def test_weight_rises_linearly_over_the_warm_up(epoch: float, share: float) -> None:
    student_BC, teacher_BC = _logits_BC(19), _logits_BC(20)

    losses = _losses(Dkd(warmup_epochs=20.0), student_BC, teacher_BC, epoch=epoch)

    full = paper_loss(student_BC, teacher_BC, TARGETS_B)
    torch.testing.assert_close(losses.terms["dkd"], share * full)
    torch.testing.assert_close(losses.total, cross_entropy(student_BC, TARGETS_B) + share * full)


def test_target_of_a_mix_is_the_label_with_the_larger_share() -> None:
    mixed = Labels(
        torch.tensor([0, 1, 2]), torch.tensor([5, 6, 7]), torch.tensor([0.75, 0.25, 0.5])
    )

    assert target_classes(mixed).tolist() == [0, 6, 2]
    assert target_classes(Labels(TARGETS_B)) is TARGETS_B


def test_missing_labels_are_refused() -> None:
    (stage,) = build_stages(Dkd(ce_weight=0.0), MethodInputs(STUDENT))

    assert stage.objective.needs_labels
    with pytest.raises(ValueError, match="dkd needs labels"):
        stage.objective(_step(_logits_BC(0), _logits_BC(1), labels=None))


def test_both_shares_at_zero_are_refused() -> None:
    with pytest.raises(ValueError, match="target_weight and non_target_weight are both 0"):
        Dkd(target_weight=0.0, non_target_weight=0.0)
    assert Dkd(target_weight=0.0, non_target_weight=0.0, kd_weight=0.0).ce_weight == 1.0


def test_all_weights_at_zero_are_refused() -> None:
    with pytest.raises(ValueError, match="nothing to learn"):
        Dkd(ce_weight=0.0, kd_weight=0.0)


def test_unlabeled_transfer_is_refused_even_without_cross_entropy() -> None:
    with pytest.raises(SpecInvalid, match=r"dkd learns from labels"):
        parse_job(
            {
                "kind": "distill",
                "dataset": "digits",
                "teachers": [{"model": "teacher"}],
                "student": {"architecture": "mlp", "hidden": [8]},
                "method": {"name": "dkd", "ce_weight": 0},
                "transfer": {"unlabeled": True},
                "control": False,
            }
        )
