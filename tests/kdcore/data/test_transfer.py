"""The transfer set is chosen by class and share, the same for the same seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdcore.data.stratified import choose_per_class, choose_test_examples
from kdcore.data.transfer import held_out_examples, select_examples, split_validation
from kdcore.errors import DatasetRejected, IncompatibleInputs
from kdcore.spec import TransferSpec

_LABELS_N = np.repeat(np.arange(4), [100, 50, 10, 1])[np.random.default_rng(0).permutation(161)]


def test_everything_is_selected_by_default() -> None:
    selected_M = select_examples(_LABELS_N, TransferSpec(), seed=0)
    assert selected_M.tolist() == list(range(161))
    assert selected_M.dtype == np.int64


def test_excluded_classes_are_left_out_and_nothing_else() -> None:
    selected_M = select_examples(_LABELS_N, TransferSpec(exclude_classes=(1, 3)), seed=0)
    assert selected_M.tolist() == np.flatnonzero((_LABELS_N == 0) | (_LABELS_N == 2)).tolist()


def test_a_fraction_is_taken_of_each_class_and_at_least_one() -> None:
    selected_M = select_examples(_LABELS_N, TransferSpec(fraction=0.1), seed=0)
    assert np.bincount(_LABELS_N[selected_M]).tolist() == [10, 5, 1, 1]
    assert (np.diff(selected_M) > 0).all()


@given(
    seed=st.integers(0, 2**31 - 1),
    small=st.floats(0.01, 1.0),
    large=st.floats(0.01, 1.0),
)
def test_a_smaller_fraction_is_a_subset_of_a_larger_one(
    seed: int, small: float, large: float
) -> None:
    small, large = sorted((small, large))
    few = select_examples(_LABELS_N, TransferSpec(fraction=small), seed=seed)
    many = select_examples(_LABELS_N, TransferSpec(fraction=large), seed=seed)
    assert set(few.tolist()) <= set(many.tolist())


def test_the_seed_decides_and_excluding_a_class_leaves_the_others_as_they_were() -> None:
    spec = TransferSpec(fraction=0.3)
    one = select_examples(_LABELS_N, spec, seed=1)
    assert np.array_equal(one, select_examples(_LABELS_N.copy(), spec, seed=1))
    assert not np.array_equal(one, select_examples(_LABELS_N, spec, seed=2))
    without = TransferSpec(fraction=0.3, exclude_classes=(0,))
    expected = one[_LABELS_N[one] != 0]
    assert np.array_equal(select_examples(_LABELS_N, without, seed=1), expected)


@pytest.mark.parametrize("label", [-1, 4, 10_000])
def test_excluding_an_unknown_class_is_refused_at_its_field(label: int) -> None:
    with pytest.raises(IncompatibleInputs) as caught:
        select_examples(_LABELS_N, TransferSpec(exclude_classes=(0, label)), seed=0)
    assert caught.value.code == "label_out_of_range"
    assert caught.value.pointer == "/transfer/exclude_classes"
    assert str(label) in caught.value.message


def test_excluding_every_class_is_refused() -> None:
    with pytest.raises(IncompatibleInputs) as caught:
        select_examples(_LABELS_N, TransferSpec(exclude_classes=(0, 1, 2, 3)), seed=0)
    assert caught.value.code == "transfer_set_empty"


def test_a_fraction_of_each_class_is_held_out_but_never_a_whole_class() -> None:
    held_out_N = split_validation(_LABELS_N, fraction=0.1, seed=0)
    assert np.bincount(_LABELS_N[held_out_N], minlength=4).tolist() == [10, 5, 1, 0]
    half_N = split_validation(_LABELS_N, fraction=0.5, seed=0)
    assert np.bincount(_LABELS_N[half_N], minlength=4).tolist() == [50, 25, 5, 0]
    assert (half_N | ~held_out_N).all()
    assert not split_validation(_LABELS_N, fraction=0.0, seed=0).any()


def test_what_is_held_out_is_never_selected_and_everything_else_is() -> None:
    spec = TransferSpec(validation_fraction=0.2)
    held_out_N = held_out_examples(_LABELS_N, spec, seed=3)
    selected_M = select_examples(_LABELS_N, spec, seed=3)
    assert selected_M.tolist() == np.flatnonzero(~held_out_N).tolist()


def test_left_out_classes_are_held_out_like_the_others() -> None:
    """Choosing the bias of a class that no student saw takes examples of it."""
    plain = TransferSpec(validation_fraction=0.2)
    without = TransferSpec(validation_fraction=0.2, exclude_classes=(0,), fraction=0.3)
    held_out_N = held_out_examples(_LABELS_N, plain, seed=3)
    assert np.array_equal(held_out_N, held_out_examples(_LABELS_N, without, seed=3))
    assert (_LABELS_N[held_out_N] == 0).sum() == 20
    assert not held_out_N[select_examples(_LABELS_N, without, seed=3)].any()


def test_nothing_of_a_dataset_of_its_own_is_held_out() -> None:
    """The hold-out is the job's dataset's, drawn by its labels though the other has none."""
    spec = TransferSpec(dataset="other", validation_fraction=0.2, unlabeled=True)
    assert len(select_examples(_LABELS_N, spec, seed=0)) == 161
    held_out_N = held_out_examples(_LABELS_N, spec, seed=0)
    assert np.bincount(_LABELS_N[held_out_N]).tolist() == [20, 10, 2]


def test_without_labels_shares_are_taken_of_the_whole_split() -> None:
    spec = TransferSpec(unlabeled=True, fraction=0.5, validation_fraction=0.1)
    shuffled_N = np.random.default_rng(1).permutation(_LABELS_N)
    selected_M = select_examples(_LABELS_N, spec, seed=0)
    assert np.array_equal(selected_M, select_examples(shuffled_N, spec, seed=0))
    assert len(selected_M) == 73  # half of 161 less a tenth
    held_out_N = held_out_examples(_LABELS_N, spec, seed=0)
    assert np.array_equal(held_out_N, held_out_examples(shuffled_N, spec, seed=0))
    assert held_out_N.sum() == 16


def test_the_choice_never_changes_between_versions() -> None:
    labels_N = np.arange(20) % 2
    chosen = np.flatnonzero(choose_per_class(labels_N, fraction=0.2, seed=0)).tolist()
    assert chosen == [2, 3, 11, 18]


def test_a_class_of_one_example_cannot_be_split() -> None:
    with pytest.raises(DatasetRejected) as caught:
        choose_test_examples(_LABELS_N, ("a", "b", "c", "alone"))
    assert caught.value.code == "too_few_examples"
    assert caught.value.entries == ("alone",)
