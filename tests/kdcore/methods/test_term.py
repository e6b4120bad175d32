"""What a term is before it says anything of itself."""

import pytest
import torch

from kdcore.features import Observation
from kdcore.methods import Step, Term


class Unfinished(Term):
    name = "unfinished"


def test_term_without_a_loss_says_which_it_is() -> None:
    step = Step(
        student=Observation(torch.zeros(1, 2)),
        teacher=None,
        labels=None,
        images_BCHW=torch.zeros(1, 1, 2, 2),
        indices_B=torch.arange(1),
        epoch=0.0,
    )

    with pytest.raises(NotImplementedError, match="Unfinished"):
        Unfinished()(step)


def test_term_asks_for_both_networks_logits_and_for_no_layer_or_label() -> None:
    term = Term()

    assert term.needs_teacher
    assert term.needs_student_logits
    assert term.needs_teacher_logits
    assert not term.needs_labels
    assert (term.student_layers, term.teacher_layers) == ((), ())
    assert term.companions() == {}
