"""The flow between layers against its formula, two peers' numbers and its closed forms."""

# B batch, M and N channels, H height, W width

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdcore.errors import IncompatibleInputs
from kdcore.features import Observation
from kdcore.methods import Labels, MethodInputs, Step, build_stages, flow_matrices, fsp_loss
from kdcore.spec import Fsp, ImageInput, Mlp, NetworkDescription
from kdcore.spec.methods import FlowPair

FIXTURES = Path(__file__).parent / "fixtures"
STUDENT = NetworkDescription(
    architecture=Mlp(hidden=(4,)), input=ImageInput(channels=1, height=2, width=2), num_classes=4
)
SHAPES = {"a": (2, 4, 4), "b": (3, 4, 4), "c": (3, 2, 2)}
WIDE = {"a": (5, 8, 8), "b": (6, 4, 4), "c": (7, 4, 4)}


def _cases(name: str) -> list[dict[str, Any]]:  # JSON as it was stored
    cases: list[dict[str, Any]] = json.loads((FIXTURES / name).read_text())["cases"]
    return cases


def _double(values: object) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _maps(seed: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def _features(shapes: dict[str, tuple[int, int, int]], *, seed: int) -> dict[str, torch.Tensor]:
    return {
        name: _maps(seed + index, 3, *shape).float()
        for index, (name, shape) in enumerate(shapes.items())
    }


def _step(
    teacher_shapes: dict[str, tuple[int, int, int]],
    *,
    student_BC: torch.Tensor | None = None,
    teacher_BC: torch.Tensor | None = None,
) -> Step:
    return Step(
        student=Observation(student_BC, _features(SHAPES, seed=0)),
        teacher=Observation(teacher_BC, _features(teacher_shapes, seed=10)),
        labels=Labels(torch.tensor([0, 1, 2])),
        images_BCHW=torch.zeros(3, 1, 2, 2),
        indices_B=torch.arange(3),
        epoch=0.0,
    )


def _inputs(teacher_shapes: dict[str, tuple[int, int, int]], *, seed: int = 0) -> MethodInputs:
    return MethodInputs(
        STUDENT, student_layers=SHAPES, teacher_layers=teacher_shapes, num_examples=3, seed=seed
    )


def _flow(begin: str, end: str, **fields: Any) -> FlowPair:  # fields of FlowPair
    return FlowPair(student=(begin, end), teacher=(begin, end), **fields)


def test_matrix_is_what_one_works_out_by_hand() -> None:
    begin_BMHW = torch.tensor([[[[1.0, 2.0]]]])
    end_BNHW = torch.tensor([[[[3.0, 4.0]], [[5.0, 6.0]]]])

    # (1·3 + 2·4) / 2 and (1·5 + 2·6) / 2.
    assert flow_matrices(begin_BMHW, end_BNHW).tolist() == [[[5.5, 8.5]]]


@pytest.mark.parametrize("case", _cases("torchdistill_fsp.json"))
def test_matrices_equal_those_of_torchdistill_also_where_sizes_differ(case: dict[str, Any]) -> None:
    matrices_BMN = flow_matrices(_double(case["begin"]), _double(case["end"]))

    torch.testing.assert_close(matrices_BMN, _double(case["matrices"]), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("case", _cases("repdistiller_fsp.json"))
def test_loss_and_gradients_are_those_of_repdistiller_times_both_channels(
    case: dict[str, Any],
) -> None:
    """RepDistiller averages over the M·N entries of a matrix, where the paper sums."""
    student = [_double(maps).requires_grad_() for maps in case["student"]]
    teacher = [_double(maps) for maps in case["teacher"]]
    losses = [
        fsp_loss(
            flow_matrices(student[index], student[index + 1]),
            flow_matrices(teacher[index], teacher[index + 1]),
        )
        for index in range(len(student) - 1)
    ]
    entries = [one.shape[1] * other.shape[1] for one, other in itertools.pairwise(student)]

    means = [loss / number for loss, number in zip(losses, entries, strict=True)]

    assert [mean.item() for mean in means] == pytest.approx(case["losses"], rel=1e-12)
    gradients = torch.autograd.grad(torch.stack(means).sum(), student)
    for gradient, expected in zip(gradients, case["student_gradients"], strict=True):
        torch.testing.assert_close(gradient, _double(expected), rtol=1e-10, atol=1e-14)


def test_loss_is_the_formula_of_the_paper() -> None:
    student_BMN, teacher_BMN = _maps(0, 5, 4, 6), _maps(1, 5, 4, 6)

    loss = fsp_loss(student_BMN, teacher_BMN)

    norms_B = np.linalg.norm((teacher_BMN - student_BMN).numpy(), ord="fro", axis=(1, 2))
    assert loss.item() == pytest.approx(float(np.mean(norms_B**2)), rel=1e-12)


def test_squares_are_summed_over_both_channels_not_averaged_over_them() -> None:
    # The trap: a mean over M·N is 512 times too small for 16 and 32 channels.
    student_BMN, teacher_BMN = torch.zeros(3, 16, 32), torch.ones(3, 16, 32)

    assert fsp_loss(student_BMN, teacher_BMN).item() == 512.0


def test_norm_is_squared() -> None:
    # The trap: torchdistill sums norms. Three times as far must cost nine times as much.
    teacher_BMN, apart_BMN = _maps(2, 3, 4, 5), _maps(3, 3, 4, 5)

    near = fsp_loss(teacher_BMN + apart_BMN, teacher_BMN)
    far = fsp_loss(teacher_BMN + 3 * apart_BMN, teacher_BMN)

    assert far.item() == pytest.approx(9 * near.item(), rel=1e-12)


def test_loss_is_averaged_over_the_batch() -> None:
    student_BMN, teacher_BMN = _maps(4, 3, 4, 5), _maps(5, 3, 4, 5)

    twice = fsp_loss(student_BMN.repeat(2, 1, 1), teacher_BMN.repeat(2, 1, 1))

    assert twice.item() == pytest.approx(fsp_loss(student_BMN, teacher_BMN).item(), rel=1e-12)


def test_identical_matrices_give_exactly_zero() -> None:
    matrices_BMN = _maps(6, 3, 4, 5).float()

    assert fsp_loss(matrices_BMN, matrices_BMN.clone()).item() == 0.0


def test_matrices_do_not_depend_on_how_many_pixels_show_the_same() -> None:
    begin_BMHW, end_BNHW = _maps(7, 2, 3, 4, 4), _maps(8, 2, 5, 4, 4)

    def enlarged(maps_BCHW: torch.Tensor) -> torch.Tensor:
        return maps_BCHW.repeat_interleave(2, dim=2).repeat_interleave(3, dim=3)

    torch.testing.assert_close(
        flow_matrices(enlarged(begin_BMHW), enlarged(end_BNHW)), flow_matrices(begin_BMHW, end_BNHW)
    )


def test_larger_maps_are_pooled_by_their_maximum() -> None:
    begin_BMHW = torch.tensor([[[[1.0, 2.0], [3.0, 7.0]]]])

    assert flow_matrices(begin_BMHW, torch.tensor([[[[2.0]]]])).item() == 14.0
    assert flow_matrices(torch.tensor([[[[2.0]]]]), begin_BMHW).item() == 14.0


def test_gradient_passes_gradcheck() -> None:
    layers = [_maps(seed, 1, 2, 3, 3).requires_grad_() for seed in (9, 10)]
    teacher_BMN = _maps(11, 1, 2, 2)

    def loss_of(begin_BMHW: torch.Tensor, end_BNHW: torch.Tensor) -> torch.Tensor:
        return fsp_loss(flow_matrices(begin_BMHW, end_BNHW[:, :, :2]), teacher_BMN)

    assert torch.autograd.gradcheck(loss_of, layers)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_maps_are_multiplied_and_summed_in_float32(dtype: torch.dtype) -> None:
    # Products near 300² are beyond float16.
    begin_BMHW = (_maps(18, 1, 2, 16, 16) + 300).to(dtype)
    end_BNHW = (_maps(19, 1, 3, 16, 16) + 300).to(dtype)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        matrices_BMN = flow_matrices(begin_BMHW, end_BNHW)
        loss = fsp_loss(matrices_BMN.to(dtype).clamp(-300, 300), torch.zeros(1, 2, 3, dtype=dtype))

    assert (matrices_BMN.dtype, loss.dtype) == (torch.float32, torch.float32)
    exact_BMN = flow_matrices(begin_BMHW.double(), end_BNHW.double())
    torch.testing.assert_close(matrices_BMN.double(), exact_BMN, rtol=1e-5, atol=0.0)
    assert loss.item() == 6 * 300.0**2


def test_inside_autocast_matrices_are_the_same_to_the_last_bit() -> None:
    begin_BMHW, end_BNHW = _maps(12, 2, 3, 4, 4).float(), _maps(13, 2, 5, 4, 4).float()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside_BMN = flow_matrices(begin_BMHW, end_BNHW)

    assert torch.equal(inside_BMN, flow_matrices(begin_BMHW, end_BNHW))


def test_first_stage_is_the_weighted_sum_over_flows_and_needs_no_logits() -> None:
    method = Fsp(layers=(_flow("a", "b", weight=2.0), _flow("b", "c", weight=0.5)))
    first, second = build_stages(method, _inputs(SHAPES))
    step = _step(SHAPES)

    losses = first.objective(step)

    student, teacher = step.student.features, _features(SHAPES, seed=10)
    one, other = (
        fsp_loss(
            flow_matrices(student[begin], student[end]), flow_matrices(teacher[begin], teacher[end])
        )
        for begin, end in (("a", "b"), ("b", "c"))
    )
    torch.testing.assert_close(losses.total, 2.0 * one + 0.5 * other)
    assert (first.name, second.name) == method.STAGES
    assert first.objective.student_layers == first.objective.teacher_layers == ("a", "b", "c")
    assert not first.objective.needs_student_logits
    assert not first.objective.needs_teacher_logits
    assert not first.objective.needs_labels


def test_second_stage_is_the_task_alone() -> None:
    flows = (_flow("a", "b"),)
    student_BC, teacher_BC = _maps(14, 3, 4), _maps(15, 3, 4)
    step = _step(SHAPES, student_BC=student_BC, teacher_BC=teacher_BC)

    _, labels_only = build_stages(Fsp(layers=flows), _inputs(SHAPES))
    _, with_soft = build_stages(Fsp(layers=flows, kd_weight=0.5), _inputs(SHAPES))

    assert not labels_only.objective.needs_teacher
    assert set(labels_only.objective(step).terms) == {"cross_entropy"}
    assert set(with_soft.objective(step).terms) == {"cross_entropy", "logit_kd"}
    assert with_soft.objective.student_layers == ()


def test_student_learns_flows_of_a_teacher_of_another_task() -> None:
    """The two may differ in classes: neither stage reads the teacher's logits."""
    first, second = build_stages(Fsp(layers=(_flow("a", "b"),)), _inputs(SHAPES))
    step = _step(SHAPES, student_BC=_maps(16, 3, 4), teacher_BC=_maps(17, 3, 7))

    assert first.objective(step).total.isfinite()
    assert second.objective(step).total.isfinite()


def test_adapter_brings_other_channels_to_the_teachers() -> None:
    method = Fsp(layers=(_flow("a", "b", adapter="conv1x1"),))
    first, _ = build_stages(method, _inputs(WIDE))

    losses = first.objective(_step(WIDE))
    losses.total.backward()

    weights = {tuple(weight.shape): weight for weight in first.objective.parameters()}
    assert set(weights) == {(5, 2, 1, 1), (5,), (6, 3, 1, 1), (6,)}
    assert all(weight.grad is not None for weight in weights.values())


def test_two_flows_that_meet_in_a_layer_share_its_adapter() -> None:
    chain = Fsp(
        layers=(_flow("a", "b", adapter="conv1x1"), _flow("b", "c", adapter="conv1x1")),
    )
    first, _ = build_stages(chain, _inputs(WIDE))

    # Three layers, three adapters: b has one, though it ends one flow and begins another.
    assert len(list(first.objective.parameters())) == 2 * 3


def test_layer_that_learns_from_two_of_the_teachers_has_an_adapter_for_each() -> None:
    flows = (
        FlowPair(student=("a", "b"), teacher=("a", "b"), adapter="conv1x1"),
        FlowPair(student=("a", "b"), teacher=("a", "c"), adapter="conv1x1"),
    )
    first, _ = build_stages(Fsp(layers=flows), _inputs(WIDE))

    assert len(list(first.objective.parameters())) == 2 * 3


def test_adapters_are_drawn_from_the_seed_alone_and_leave_the_generator_as_it_was() -> None:
    def weights(seed: int) -> torch.Tensor:
        method = Fsp(layers=(_flow("a", "b", adapter="conv1x1"),))
        first, _ = build_stages(method, _inputs(WIDE, seed=seed))
        return torch.cat([weight.flatten() for weight in first.objective.parameters()])

    state = torch.get_rng_state()
    one = weights(1)

    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(99)
    assert torch.equal(one, weights(1))
    assert not torch.equal(one, weights(2))


def test_other_channels_without_adapter_are_refused_with_both_shapes() -> None:
    with pytest.raises(IncompatibleInputs, match=r"2x4x4.*5x8x8"):
        build_stages(Fsp(layers=(_flow("a", "b"),)), _inputs(WIDE))


def test_flows_that_are_left_out_are_those_of_each_size() -> None:
    first, _ = build_stages(Fsp(), _inputs(SHAPES))

    # c has a size of its own, from which nothing flows on.
    assert first.objective.student_layers == ("a", "b")


def test_missing_teacher_is_refused() -> None:
    first, _ = build_stages(Fsp(layers=(_flow("a", "b"),)), _inputs(SHAPES))
    alone = Step(
        student=Observation(None, _features(SHAPES, seed=0)),
        teacher=None,
        labels=None,
        images_BCHW=torch.zeros(3, 1, 2, 2),
        indices_B=torch.arange(3),
        epoch=0.0,
    )

    with pytest.raises(ValueError, match="fsp needs a teacher"):
        first.objective(alone)
