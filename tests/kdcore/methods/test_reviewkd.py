"""Reviewed stages against a peer's numbers, closed forms and the traps of small batches."""

# B batch, C channels, H height, W width

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from kdcore.errors import IncompatibleInputs
from kdcore.features import Observation
from kdcore.methods import Labels, MethodInputs, Step, build_stages
from kdcore.methods.reviewkd import ReviewTerm, hierarchical_context_loss
from kdcore.spec import ImageInput, Mlp, NetworkDescription, ReviewKd
from kdcore.spec.methods import LayerPair

FIXTURE: dict[str, Any] = json.loads(
    (Path(__file__).parent / "fixtures" / "mdistiller_reviewkd.json").read_text()
)
# By the peer's names of a fusion's parts.
PARTS = {
    "conv1.0": "narrow.0",
    "conv1.1": "narrow.1",
    "att_conv.0": "attention",
    "conv2.0": "widen.0",
    "conv2.1": "widen.1",
}
STUDENT = NetworkDescription(
    architecture=Mlp(hidden=(4,)),
    input=ImageInput(channels=1, height=2, width=2),
    num_classes=4,
)
SHAPES = {"shallow": (2, 6, 6), "deep": (3, 3, 3), "vector": (5,), "tokens": (7, 5)}
PAIRS = tuple(LayerPair(teacher=name, student=name) for name in ("shallow", "deep", "vector"))


def _double(values: Any) -> torch.Tensor:  # nested lists, as JSON has them
    return torch.tensor(values, dtype=torch.float64)


def _random(seed: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def _step(
    student: list[torch.Tensor], teacher: list[torch.Tensor] | None, *, epoch: float = 1.0
) -> Step:
    names = [str(index) for index in range(len(student))]
    batch = len(student[0])
    return Step(
        student=Observation(None, dict(zip(names, student, strict=True))),
        teacher=(
            None if teacher is None else Observation(None, dict(zip(names, teacher, strict=True)))
        ),
        labels=Labels(torch.zeros(batch, dtype=torch.int64)),
        images_BCHW=torch.zeros(batch, 1, 2, 2),
        indices_B=torch.arange(batch),
        epoch=epoch,
    )


def _term(
    student: list[torch.Tensor],
    teacher: list[torch.Tensor],
    *,
    warmup_epochs: float = 0.0,
    seed: int = 0,
) -> ReviewTerm:
    return ReviewTerm(
        [LayerPair(teacher=str(index), student=str(index)) for index in range(len(student))],
        student=[tuple(value.shape[1:]) for value in student],
        teacher=[tuple(value.shape[1:]) for value in teacher],
        warmup_epochs=warmup_epochs,
        seed=seed,
    ).double()


def _load_peer_weights(term: ReviewTerm, weights: dict[str, Any]) -> None:
    """Load weights by the peer's names; it counts fusions from the deepest."""
    state = term.state_dict()
    for name, values in weights.items():
        position, _, rest = name.partition(".")
        part, _, kind = rest.rpartition(".")
        own = f"fusions.{len(term.fusions) - 1 - int(position)}.{PARTS[part]}.{kind}"
        state[own] = _double(values).reshape(state[own].shape)
    term.load_state_dict(state)


@pytest.mark.parametrize("case", FIXTURE["hcl_cases"])
def test_context_loss_equals_that_of_mdistiller(case: dict[str, Any]) -> None:
    loss = hierarchical_context_loss(_double(case["student"]), _double(case["teacher"]))

    assert loss.item() == pytest.approx(case["loss"], rel=1e-12)


@pytest.mark.parametrize("case", FIXTURE["cases"])
def test_loss_and_gradients_equal_those_of_mdistiller(case: dict[str, Any]) -> None:
    student = [_double(values).requires_grad_() for values in case["student"]]
    teacher = [_double(values) for values in case["teacher"]]
    term = _term(student, teacher, warmup_epochs=case["warmup_epochs"])
    _load_peer_weights(term, case["abfs"])

    loss = term(_step(student, teacher, epoch=case["epoch"]))
    gradients = torch.autograd.grad(loss, student)

    assert loss.item() == pytest.approx(case["loss"], rel=1e-10)
    for gradient, expected in zip(gradients, case["student_gradients"], strict=True):
        torch.testing.assert_close(gradient, _double(expected), rtol=1e-8, atol=1e-12)


def test_context_loss_of_maps_that_differ_by_a_constant_is_its_square() -> None:
    # Averaging keeps a constant, and the weights of the levels add up to 1.
    maps_BCHW = _random(0, 2, 3, 8, 8)

    assert hierarchical_context_loss(maps_BCHW + 3.0, maps_BCHW).item() == pytest.approx(9.0)


def test_context_loss_of_a_checkerboard_is_that_of_the_whole_map_alone() -> None:
    # Differences of +1 and -1 cancel in every average: only level 0 of 1 + 1/2 + 1/4 remains.
    rows, columns = torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij")
    board_BCHW = (1.0 - 2.0 * ((rows + columns) % 2))[None, None]

    loss = hierarchical_context_loss(board_BCHW, torch.zeros(1, 1, 4, 4))

    assert loss.item() == pytest.approx(1 / 1.75)


def test_context_loss_pools_maps_that_are_not_square_no_further_than_they_are() -> None:
    maps_BCHW = _random(1, 2, 3, 1, 6)

    loss = hierarchical_context_loss(maps_BCHW, torch.zeros(2, 3, 1, 6))

    levels = [torch.nn.functional.adaptive_avg_pool2d(maps_BCHW, (1, s)) for s in (6, 4, 2, 1)]
    weighted = sum(
        w * level.square().mean() for w, level in zip((1, 0.5, 0.25, 0.125), levels, strict=True)
    )
    torch.testing.assert_close(loss, torch.as_tensor(weighted) / 1.875)


def test_identical_maps_give_exactly_zero() -> None:
    maps_BCHW = _random(2, 2, 3, 8, 8).float()

    assert hierarchical_context_loss(maps_BCHW, maps_BCHW.clone()).item() == 0.0


def test_context_loss_passes_gradcheck() -> None:
    student_BCHW, teacher_BCHW = _random(3, 2, 2, 3, 3), _random(4, 2, 2, 3, 3)

    assert torch.autograd.gradcheck(
        lambda maps_BCHW: hierarchical_context_loss(maps_BCHW, teacher_BCHW),
        student_BCHW.requires_grad_(),
    )


def test_half_precision_maps_are_squared_in_float32_also_inside_autocast() -> None:
    maps_BCHW = torch.full((1, 1, 4, 4), 300.0, dtype=torch.float16)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = hierarchical_context_loss(maps_BCHW, torch.zeros_like(maps_BCHW))

    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(90_000.0)


def test_shallow_stage_of_the_teacher_teaches_the_deep_stage_of_the_student() -> None:
    shallow_BCHW, deep_BCHW = _random(5, 4, 2, 6, 6), _random(6, 4, 3, 3, 3).requires_grad_()
    fusions = _term([shallow_BCHW, deep_BCHW], [shallow_BCHW, deep_BCHW]).fusions

    _, joined_BMHW = fusions[1](deep_BCHW, None, (3, 3))
    compared_BCHW, _ = fusions[0](shallow_BCHW, joined_BMHW, (6, 6))

    loss = hierarchical_context_loss(compared_BCHW, _random(7, 4, 2, 6, 6))
    (gradient_BCHW,) = torch.autograd.grad(loss, deep_BCHW)
    assert gradient_BCHW.abs().max().item() > 0.0


@pytest.mark.parametrize(("epoch", "share"), [(0.0, 0.0), (1.0, 0.25), (4.0, 1.0), (9.0, 1.0)])
def test_loss_warms_up_in_a_straight_line(epoch: float, share: float) -> None:
    student, teacher = [_random(8, 3, 2, 4, 4)], [_random(9, 3, 5, 4, 4)]
    term = _term(student, teacher, warmup_epochs=4.0)

    loss = term(_step(student, teacher, epoch=epoch))

    full = term(_step(student, teacher, epoch=100.0))
    torch.testing.assert_close(loss, share * full)


def test_without_warm_up_the_first_step_counts_in_full() -> None:
    student, teacher = [_random(10, 3, 2, 4, 4)], [_random(11, 3, 5, 4, 4)]

    assert _term(student, teacher)(_step(student, teacher, epoch=0.0)).item() > 0.0


def test_single_image_gives_zero_instead_of_a_failing_batch_norm() -> None:
    # The last batch of an epoch may be one image, and the deepest map 1x1.
    student = [_random(12, 1, 2, 4, 4).requires_grad_(), _random(13, 1, 3).requires_grad_()]
    teacher = [_random(14, 1, 2, 4, 4), _random(15, 1, 3)]

    loss = _term(student, teacher)(_step(student, teacher))
    gradients = torch.autograd.grad(loss, student)

    assert loss.item() == 0.0
    assert all(gradient.abs().max().item() == 0.0 for gradient in gradients)


def test_first_weights_depend_on_the_seed_alone_and_leave_the_generator_as_it_was() -> None:
    maps = [_random(16, 2, 2, 4, 4)]
    torch.manual_seed(3)
    before = torch.get_rng_state()
    one = _term(maps, maps, seed=1).state_dict()
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(4)
    same, other = _term(maps, maps, seed=1).state_dict(), _term(maps, maps, seed=2).state_dict()

    name = "fusions.0.narrow.0.weight"
    assert torch.equal(one[name], same[name])
    assert not torch.equal(one[name], other[name])


def test_stage_has_the_weights_and_shapes_of_its_spec() -> None:
    spec = ReviewKd(kd_weight=0.5, feature_weight=3.0, layers=PAIRS)

    (stage,) = build_stages(spec, MethodInputs(STUDENT, SHAPES, SHAPES))

    assert stage.objective.weights == (1.0, 0.5, 3.0)
    assert stage.objective.student_layers == ("shallow", "deep", "vector")
    term = stage.objective.terms[2]
    assert isinstance(term, ReviewTerm)
    # All stages are fused in the channels of the student's deepest, which joins nothing.
    shapes = {name: tuple(tensor.shape) for name, tensor in term.state_dict().items()}
    assert [shapes[f"fusions.{index}.narrow.0.weight"][0] for index in range(3)] == [5, 5, 5]
    assert [f"fusions.{index}.attention.weight" in shapes for index in range(3)] == [1, 1, 0]


def test_layer_of_tokens_is_refused_before_training() -> None:
    spec = ReviewKd(layers=(LayerPair(teacher="deep", student="tokens"),))

    with pytest.raises(IncompatibleInputs, match="tokens gives 7 vectors of 5") as caught:
        build_stages(spec, MethodInputs(STUDENT, SHAPES, SHAPES))

    assert caught.value.pointer == "/method/layers/0/student"


def test_missing_teacher_is_refused() -> None:
    student = [_random(17, 2, 2, 4, 4)]

    with pytest.raises(ValueError, match="reviewkd needs a teacher"):
        _term(student, student)(_step(student, None))
