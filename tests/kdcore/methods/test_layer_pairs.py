"""`attention`, `feature_matching` and `fitnet`: what their stages add up, need and refuse."""

# B batch, C classes

import pytest
import torch

from kdcore.errors import IncompatibleInputs
from kdcore.features import Observation
from kdcore.methods import (
    Labels,
    MethodInputs,
    Objective,
    Step,
    attention_loss,
    build_stages,
    cross_entropy,
    kd_loss,
    layer_distance,
)
from kdcore.spec import (
    Attention,
    FeatureMatching,
    Fitnet,
    ImageInput,
    MethodSpec,
    Mlp,
    NetworkDescription,
)
from kdcore.spec.methods import LayerPair

STUDENT = NetworkDescription(
    architecture=Mlp(hidden=(4,)), input=ImageInput(channels=1, height=2, width=2), num_classes=4
)
SHAPES = {"early": (2, 4, 4), "middle": (3, 2, 2), "vector": (5,)}
WIDE = {"early": (2, 4, 4), "middle": (6, 2, 2), "vector": (7,)}
LABELS_B = torch.tensor([0, 1, 2])

Shapes = dict[str, tuple[int, ...]]


def _tensors(shapes: Shapes, *, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(3, *shape, generator=generator) for name, shape in shapes.items()}


def _step(teacher: Observation | None) -> Step:
    logits_BC = _tensors({"logits": (4,)}, seed=2)["logits"]
    return Step(
        student=Observation(logits_BC, _tensors(SHAPES, seed=0)),
        teacher=teacher,
        labels=Labels(LABELS_B),
        images_BCHW=torch.zeros(3, 1, 2, 2),
        indices_B=torch.arange(3),
        epoch=0.0,
    )


def _teacher(shapes: Shapes) -> Observation:
    return Observation(_tensors({"logits": (4,)}, seed=3)["logits"], _tensors(shapes, seed=1))


def _objectives(method: MethodSpec, shapes: Shapes = WIDE) -> list[Objective]:
    inputs = MethodInputs(STUDENT, student_layers=SHAPES, teacher_layers=shapes)
    stages = build_stages(method, inputs)
    assert tuple(stage.name for stage in stages) == method.STAGES
    return [stage.objective for stage in stages]


EARLY = LayerPair(student="early", teacher="early")
MIDDLE = LayerPair(student="middle", teacher="middle", adapter="conv1x1")
VECTOR = LayerPair(student="vector", teacher="vector", adapter="linear")


def test_attention_adds_its_pairs_to_the_task() -> None:
    pairs = (EARLY, LayerPair(student="middle", teacher="middle"))
    (objective,) = _objectives(Attention(layers=pairs, feature_weight=50.0))
    teacher = _teacher(WIDE)
    step = _step(teacher)

    losses = objective(step)

    apart = [
        attention_loss(step.student.features[name], teacher.features[name])
        for name in ("early", "middle")
    ]
    hard = cross_entropy(step.student.logits, LABELS_B)
    torch.testing.assert_close(losses.total, hard + 50.0 * (apart[0] + apart[1]))
    assert set(losses.terms) == {"cross_entropy", "attention"}


def test_feature_matching_adds_its_pairs_to_the_task() -> None:
    method = FeatureMatching(layers=(EARLY,), ce_weight=0.5, kd_weight=0.25, feature_weight=3.0)
    (objective,) = _objectives(method)
    teacher = _teacher(WIDE)
    step = _step(teacher)

    losses = objective(step)

    apart = layer_distance(step.student.features["early"], teacher.features["early"])
    hard = cross_entropy(step.student.logits, LABELS_B)
    soft = kd_loss(step.student.logits, teacher.logits, temperature=4.0)
    torch.testing.assert_close(losses.total, 0.5 * hard + 0.25 * soft + 3.0 * apart)
    assert set(losses.terms) == {"cross_entropy", "logit_kd", "feature_matching"}


def test_layers_of_any_kind_and_number_are_matched_through_their_projections() -> None:
    method = FeatureMatching(layers=(EARLY, MIDDLE, VECTOR), ce_weight=0.0)
    (objective,) = _objectives(method)

    losses = objective(_step(_teacher(WIDE)))
    losses.total.backward()

    weights = {tuple(weight.shape): weight for weight in objective.parameters()}
    assert set(weights) == {(6, 3, 1, 1), (6,), (7, 5), (7,)}
    assert all(weight.grad is not None for weight in weights.values())
    assert objective.student_layers == objective.teacher_layers == ("early", "middle", "vector")
    assert not objective.needs_student_logits
    assert not objective.needs_teacher_logits
    assert not objective.needs_labels


def test_pairs_are_summed() -> None:
    alone = [
        _objectives(FeatureMatching(layers=(pair,), ce_weight=0.0), SHAPES)[0](
            _step(_teacher(SHAPES))
        ).total
        for pair in (EARLY, LayerPair(student="vector", teacher="vector"))
    ]
    both = FeatureMatching(
        layers=(EARLY, LayerPair(student="vector", teacher="vector")), ce_weight=0.0
    )

    (objective,) = _objectives(both, SHAPES)

    torch.testing.assert_close(objective(_step(_teacher(SHAPES))).total, alone[0] + alone[1])


def test_fitnet_learns_its_hint_alone_then_the_task_by_soft_targets() -> None:
    hint, training = _objectives(Fitnet(layers=(MIDDLE,)))
    teacher = _teacher(WIDE)
    step = _step(teacher)

    first, second = hint(step), training(step)

    assert (set(first.terms), set(second.terms)) == ({"hint"}, {"cross_entropy", "logit_kd"})
    assert (hint.student_layers, hint.teacher_layers) == (("middle",), ("middle",))
    assert not hint.needs_student_logits
    assert not hint.needs_labels
    assert training.student_layers == ()
    hard = cross_entropy(step.student.logits, LABELS_B)
    soft = kd_loss(step.student.logits, teacher.logits, temperature=4.0)
    torch.testing.assert_close(second.total, 0.1 * hard + 0.9 * soft)


def test_fitnet_compares_the_teachers_layer_with_what_the_regressor_gives() -> None:
    hint, _ = _objectives(Fitnet(layers=(MIDDLE,)))
    teacher = _teacher(WIDE)
    step = _step(teacher)

    weight, bias = hint.parameters()
    middle_BCHW = step.student.features["middle"]
    regressed_BCHW = torch.einsum("oc,bchw->bohw", weight[:, :, 0, 0], middle_BCHW)
    expected = layer_distance(regressed_BCHW + bias[:, None, None], teacher.features["middle"])
    torch.testing.assert_close(hint(step).total, expected)


def test_fitnet_left_to_itself_takes_a_middle_layer_through_a_regressor() -> None:
    hint, _ = _objectives(Fitnet())

    assert len(hint.student_layers) == 1
    assert list(hint.parameters())


def test_regressor_trains_in_the_hint_stage_only() -> None:
    hint, training = _objectives(Fitnet(layers=(MIDDLE,)))

    assert len(list(hint.parameters())) == 2
    assert not list(training.parameters())


@pytest.mark.parametrize("method", [Fitnet, FeatureMatching])
def test_other_channels_without_adapter_are_refused_with_both_shapes(
    method: type[Fitnet | FeatureMatching],
) -> None:
    pairs = (LayerPair(student="middle", teacher="middle"),)

    with pytest.raises(IncompatibleInputs, match=r"3x2x2.*6x2x2"):
        _objectives(method(layers=pairs))


@pytest.mark.parametrize("method", [Fitnet, FeatureMatching])
def test_other_sizes_are_refused_with_both_shapes(method: type[Fitnet | FeatureMatching]) -> None:
    pairs = (LayerPair(student="early", teacher="middle", adapter="conv1x1"),)

    with pytest.raises(IncompatibleInputs, match=r"2x4x4.*6x2x2"):
        _objectives(method(layers=pairs))


def test_attention_takes_maps_alone() -> None:
    with pytest.raises(IncompatibleInputs, match="maps"):
        _objectives(Attention(layers=(LayerPair(student="vector", teacher="vector"),)))


@pytest.mark.parametrize("method", [Attention, FeatureMatching])
def test_without_teacher_the_term_says_what_it_needs(
    method: type[Attention | FeatureMatching],
) -> None:
    (objective,) = _objectives(method(layers=(EARLY,)))

    with pytest.raises(ValueError, match="needs a teacher"):
        objective(_step(None))
