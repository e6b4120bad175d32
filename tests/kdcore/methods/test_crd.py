"""The contrast and its memories against a peer's numbers, closed forms and lost state."""

# B batch, D width of a layer, E width of an embedding, K negatives, N images of the train split

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from kdcore.features import Observation
from kdcore.methods import Labels, MethodInputs, Objective, Step, build_stages
from kdcore.methods.crd import Contrast, ContrastTerm, Memory, noise_contrastive_loss
from kdcore.spec import Crd, ImageInput, Mlp, NetworkDescription
from kdcore.spec.methods import LayerPair
from tests.kdcore.methods.peers import cases_of

STUDENT = NetworkDescription(
    architecture=Mlp(hidden=(4,)),
    input=ImageInput(channels=1, height=2, width=2),
    num_classes=4,
)
PAIRS = (LayerPair(teacher="deep", student="shallow"),)


def _double(values: Any) -> torch.Tensor:  # nested lists, as JSON has them
    return torch.tensor(values, dtype=torch.float64)


def _random(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _contrast_of(case: dict[str, Any]) -> Contrast:
    student_weight, teacher_weight = (
        _double(case["student_weight"]),
        _double(case["teacher_weight"]),
    )
    spec = Crd(
        feature_dim=len(student_weight),
        contrast_temperature=case["temperature"],
        memory_momentum=case["momentum"],
    )
    contrast = Contrast(
        student_weight.shape[1],
        teacher_weight.shape[1],
        spec=spec,
        num_examples=case["num_examples"],
        seed=0,
    ).double()
    contrast.load_state_dict(
        contrast.state_dict()
        | {
            "embed_student.weight": student_weight,
            "embed_student.bias": _double(case["student_bias"]),
            "embed_teacher.weight": teacher_weight,
            "embed_teacher.bias": _double(case["teacher_bias"]),
            "student_memory.vectors_NE": _double(case["student_bank"]),
            "teacher_memory.vectors_NE": _double(case["teacher_bank"]),
        }
    )
    return contrast


@pytest.mark.parametrize("case", cases_of("repdistiller_crd"))
def test_three_steps_equal_those_of_repdistiller_with_all_that_is_remembered(
    case: dict[str, Any],
) -> None:
    contrast = _contrast_of(case)
    for step in case["steps"]:
        student_BD = _double(step["student"]).requires_grad_()

        loss = contrast(
            student_BD,
            _double(step["teacher"]),
            torch.tensor(step["indices"]),
            torch.tensor(step["negatives"]),
        )
        gradients = torch.autograd.grad(loss, [student_BD, contrast.embed_teacher.weight])

        # The peer adds 1e-7 to denominators.
        assert loss.item() == pytest.approx(step["loss"], rel=1e-5)
        expected = (step["student_gradient"], step["teacher_weight_gradient"])
        for gradient, values in zip(gradients, expected, strict=True):
            torch.testing.assert_close(gradient, _double(values), rtol=1e-5, atol=1e-6)

    for memory, side in (
        (contrast.student_memory, "student"),
        (contrast.teacher_memory, "teacher"),
    ):
        torch.testing.assert_close(memory.vectors_NE, _double(case[f"final_{side}_bank"]))
    # The peer names Z for whose embeddings are compared, here it is for whose are remembered.
    assert contrast.teacher_memory.log_z.exp().item() == pytest.approx(case["student_normaliser"])
    assert contrast.student_memory.log_z.exp().item() == pytest.approx(case["teacher_normaliser"])


def test_loss_is_what_one_works_out_by_hand() -> None:
    # Scores 3/4 and 1/4 against a noise of 2/4 each: h = 3/5 for itself, 1/3 for both draws.
    log_scores_BK = torch.tensor([[0.75, 0.25, 0.25]]).log()

    loss = noise_contrastive_loss(log_scores_BK, num_negatives=2, num_examples=4)

    assert loss.item() == pytest.approx(-math.log(3 / 5) - 2 * math.log(2 / 3))


def test_loss_is_summed_over_negatives_and_averaged_over_the_batch() -> None:
    log_scores_BK = _random(0, 3, 5)

    twice = noise_contrastive_loss(log_scores_BK.repeat(2, 1), num_negatives=4, num_examples=9)

    once = noise_contrastive_loss(log_scores_BK, num_negatives=4, num_examples=9)
    torch.testing.assert_close(twice, once)
    rows = [
        noise_contrastive_loss(row_BK[None], num_negatives=4, num_examples=9)
        for row_BK in log_scores_BK
    ]
    torch.testing.assert_close(torch.stack(rows).mean(), once)


def test_loss_passes_gradcheck() -> None:
    assert torch.autograd.gradcheck(
        lambda log_scores_BK: noise_contrastive_loss(
            log_scores_BK, num_negatives=3, num_examples=5
        ),
        _random(1, 2, 4).requires_grad_(),
    )


def test_scores_of_any_size_stay_finite() -> None:
    log_scores_BK = torch.tensor([[500.0, -500.0], [-500.0, 500.0]], requires_grad=True)

    loss = noise_contrastive_loss(log_scores_BK, num_negatives=1, num_examples=1)
    (gradient_BK,) = torch.autograd.grad(loss, log_scores_BK)

    assert loss.item() == pytest.approx(500.0)
    assert gradient_BK.tolist() == [[0.0, 0.0], [-0.5, 0.5]]


def _memory(*, temperature: float = 0.07, momentum: float = 0.5) -> Memory:
    torch.manual_seed(0)
    return Memory(20, 6, temperature=temperature, momentum=momentum)


def test_scores_of_the_first_batch_add_up_to_one_over_all_images() -> None:
    anchors_BE = F.normalize(_random(2, 4, 6).float(), dim=1)
    everyone_BK = torch.arange(20).expand(4, 20)

    log_scores_BK = _memory().log_scores(anchors_BE, everyone_BK)

    assert log_scores_BK.exp().mean().item() * 20 == pytest.approx(1.0, rel=1e-5)


def test_normalising_constant_is_kept_after_the_first_batch() -> None:
    memory, everyone_BK = _memory(), torch.arange(20).expand(4, 20)
    memory.log_scores(F.normalize(_random(3, 4, 6).float(), dim=1), everyone_BK)
    first = memory.log_z.clone()
    memory.log_scores(F.normalize(_random(4, 4, 6).float(), dim=1), everyone_BK)

    assert torch.equal(memory.log_z, first)


def test_normalising_constant_does_not_overflow_at_low_temperatures() -> None:
    memory = _memory(temperature=0.005)
    own_BE = F.normalize(memory.vectors_NE[:4], dim=1)

    log_scores_BK = memory.log_scores(own_BE, torch.arange(20).expand(4, 20))

    assert torch.isfinite(log_scores_BK).all()


def test_remembered_vectors_move_by_the_momentum_and_stay_of_unit_length() -> None:
    memory = _memory(momentum=0.25)
    before_NE = memory.vectors_NE.clone()
    seen_BE = F.normalize(_random(5, 2, 6).float(), dim=1)

    memory.remember(seen_BE, torch.tensor([7, 3]))

    expected_BE = F.normalize(0.25 * before_NE[[7, 3]] + 0.75 * seen_BE, dim=1)
    torch.testing.assert_close(memory.vectors_NE[[7, 3]], expected_BE)
    untouched = [index for index in range(20) if index not in (7, 3)]
    assert torch.equal(memory.vectors_NE[untouched], before_NE[untouched])


def _objective(spec: Crd, *, num_examples: int = 20, seed: int = 0) -> Objective:
    inputs = MethodInputs(
        STUDENT,
        student_layers={"shallow": (3, 2, 2)},
        teacher_layers={"deep": (7,)},
        num_examples=num_examples,
        seed=seed,
    )
    (stage,) = build_stages(spec, inputs)
    return stage.objective


def _step(seed: int, *, has_teacher: bool = True) -> Step:
    student, teacher = _random(seed, 4, 3, 2, 2).float(), _random(seed + 1, 4, 7).float()
    return Step(
        student=Observation(torch.zeros(4, 4), {"shallow": student.requires_grad_()}),
        teacher=Observation(None, {"deep": teacher}) if has_teacher else None,
        labels=Labels(torch.zeros(4, dtype=torch.int64)),
        images_BCHW=torch.zeros(4, 1, 2, 2),
        indices_B=torch.tensor([3, 0, 19, 8]),
        epoch=0.0,
    )


def _term(objective: Objective) -> ContrastTerm:
    term = objective.terms[-1]
    assert isinstance(term, ContrastTerm)
    return term


def test_one_seed_draws_the_same_negatives_again() -> None:
    spec = Crd(layers=PAIRS, num_negatives=8)
    losses = []
    for seed in (5, 5, 6):
        term = _term(_objective(spec))
        torch.manual_seed(seed)
        losses.append(term(_step(0)).item())

    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_negatives_are_at_most_as_many_as_there_are_images() -> None:
    few, many = (
        _term(_objective(Crd(layers=PAIRS, num_negatives=number))) for number in (20, 16_384)
    )
    torch.manual_seed(1)
    expected = few(_step(2))
    torch.manual_seed(1)

    assert torch.equal(many(_step(2)), expected)


def test_everything_that_is_remembered_is_in_the_state_and_none_of_it_trains() -> None:
    term = _term(_objective(Crd(layers=PAIRS, feature_dim=6)))

    parameters = {name for name, _ in term.named_parameters()}
    assert parameters == {
        f"contrasts.0.embed_{side}.{kind}"
        for side in ("student", "teacher")
        for kind in ("weight", "bias")
    }
    assert set(term.state_dict()) - parameters == {
        f"contrasts.0.{side}_memory.{name}"
        for side in ("student", "teacher")
        for name in ("vectors_NE", "log_z")
    }


def test_state_put_back_goes_on_with_the_same_losses() -> None:
    spec = Crd(layers=PAIRS, num_negatives=8)
    going, restored = _term(_objective(spec)), _term(_objective(spec, seed=9))
    torch.manual_seed(2)
    going(_step(0))
    restored.load_state_dict(going.state_dict())

    torch.manual_seed(3)
    expected = going(_step(4))
    torch.manual_seed(3)
    assert torch.equal(restored(_step(4)), expected)


def test_loss_moves_the_student_and_both_embeddings_and_survives_the_update() -> None:
    # The trap: the memory is written before the backward pass reads what was compared.
    objective, step = _objective(Crd(layers=PAIRS, ce_weight=0.0)), _step(6)

    objective(step).total.backward()

    assert all(parameter.grad is not None for parameter in objective.parameters())
    gradient_BCHW = step.student.features["shallow"].grad
    assert gradient_BCHW is not None
    assert gradient_BCHW.abs().max().item() > 0.0


def test_first_vectors_depend_on_the_seed_alone() -> None:
    spec = Crd(layers=PAIRS)
    torch.manual_seed(1)
    one = _objective(spec, seed=1).state_dict()
    torch.manual_seed(2)
    same, other = _objective(spec, seed=1).state_dict(), _objective(spec, seed=2).state_dict()

    name = "terms.1.contrasts.0.student_memory.vectors_NE"
    assert torch.equal(one[name], same[name])
    assert not torch.equal(one[name], other[name])
    other_side = "terms.1.contrasts.0.teacher_memory.vectors_NE"
    assert not torch.equal(one[name], one[other_side])


def test_half_precision_layers_are_compared_in_float32() -> None:
    term, step = _term(_objective(Crd(layers=PAIRS))), _step(8)
    torch.manual_seed(0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = term(step)

    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)


def test_neither_network_need_run_to_its_end_without_labels_and_soft_targets() -> None:
    objective = _objective(Crd(ce_weight=0.0, layers=PAIRS))

    assert not objective.needs_student_logits
    assert not objective.needs_teacher_logits


def test_missing_teacher_is_refused() -> None:
    with pytest.raises(ValueError, match="crd needs a teacher"):
        _objective(Crd(layers=PAIRS))(_step(10, has_teacher=False))
