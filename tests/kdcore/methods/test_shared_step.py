"""What a loss that relates images sees of a batch that several processes share."""

# B batch, C classes

import pytest
import torch

from kdcore.distributed import ALONE, BatchPart
from kdcore.features import Observation
from kdcore.methods import Labels, Step
from kdcore.methods.shared_step import SharedBatch, whole_step
from kdcore.methods.term import Term

# Of fewer images than processes: each of them holds the whole batch already.
SHARED = SharedBatch(BatchPart(2, 1, 3), ALONE, seed=0)


class ReadsLabels(Term):
    """A loss that reads labels and nothing of a teacher."""

    needs_labels = True
    needs_teacher = False
    relates_images = True


class ReadsNoLabels(ReadsLabels):
    """One that does not."""

    needs_labels = False


def step(labels: Labels | None) -> Step:
    return Step(
        student=Observation(torch.ones(2, 4)),
        teacher=None,
        labels=labels,
        images_BCHW=torch.zeros(2, 1, 2, 2),
        indices_B=torch.arange(2),
        epoch=0.0,
    )


@pytest.mark.parametrize(
    "labels",
    [
        Labels(torch.tensor([0, 2])),
        Labels(torch.tensor([0, 2]), torch.tensor([1, 1]), torch.tensor([0.25, 0.5])),
    ],
)
def test_labels_travel_with_what_was_mixed_in(labels: Labels) -> None:
    whole = whole_step(step(labels), [ReadsLabels()], SHARED).labels
    assert whole is not None
    assert torch.equal(whole.labels_B, labels.labels_B)
    for found, given in ((whole.other_B, labels.other_B), (whole.share_B, labels.share_B)):
        assert (found is None) == (given is None)
        assert found is None or given is None or torch.equal(found, given)


def test_labels_that_are_not_there_or_that_nobody_reads_do_not_travel() -> None:
    assert whole_step(step(None), [ReadsLabels()], SHARED).labels is None
    labels = Labels(torch.tensor([0, 2]))
    assert whole_step(step(labels), [ReadsNoLabels()], SHARED).labels is None


def test_images_stay_where_they_are() -> None:
    assert len(whole_step(step(None), [ReadsNoLabels()], SHARED).images_BCHW) == 0
