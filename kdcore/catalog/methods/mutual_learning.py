"""`mutual_learning` as the catalog describes it."""

from kdcore.catalog.methods.entry import MethodEntry
from kdcore.catalog.papers import Paper
from kdcore.spec.methods import MutualLearning


def mutual_learning() -> MethodEntry:
    """Describe `mutual_learning`."""
    return MethodEntry(
        name="mutual_learning",
        title="Deep mutual learning",
        summary="No teacher: the student and its peers begin with different weights, train on the "
        "same batches, and each learns from the labels and from what the others think at that "
        "moment. Only the student is exported.",
        formula="for each of the networks i: ce_weight · CE(y, z_i) + kd_weight · mean over the "
        "others j of T²/B · Σ KL(p_j^T ‖ p_i^T), with p_j taken as a constant",
        paper=Paper(
            authors="Ying Zhang, Tao Xiang, Timothy M. Hospedales, Huchuan Lu",
            title="Deep Mutual Learning",
            year=2018,
            url="https://arxiv.org/abs/1706.00384",
        ),
        spec=MutualLearning,
        labels="always",
    )
