"""The pairs of classes that a network confuses most."""

import torch

from kdcore.evaluation import score
from kdcore.export.confusions import Confusion, class_name, most_confused, shortened


def test_most_frequent_confusions_come_first_and_hits_never() -> None:
    labels_N = torch.tensor([0, 0, 0, 0, 1, 1, 2, 2])
    predictions_N = torch.tensor([0, 1, 2, 2, 0, 1, 2, 2])
    scores = score(torch.eye(3)[predictions_N], labels_N)

    assert most_confused(scores, 2) == (
        Confusion(label=0, predicted=2, num_examples=2, share=0.5),
        Confusion(label=0, predicted=1, num_examples=1, share=0.25),
    )


def test_class_without_a_name_is_called_by_its_number() -> None:
    assert class_name((), 3) == "3"
    assert class_name(("a", "b"), 1) == "b"


def test_long_names_end_in_an_ellipsis() -> None:
    assert shortened("abcdef", 4) == "abc…"
    assert shortened("abcd", 4) == "abcd"
