"""`dist` as the catalog describes it."""

from kdcore.catalog.methods.entry import MethodEntry
from kdcore.catalog.papers import Paper
from kdcore.spec.methods import Dist


def dist() -> MethodEntry:
    """Describe `dist`."""
    return MethodEntry(
        name="dist",
        title="Correlations of probabilities",
        summary="The student need not match the teacher's probabilities, only rise and fall with "
        "them: over the classes of each image, and over the images for each class. Made for "
        "teachers much stronger than the student.",
        formula="ce_weight · CE(y, z_s) + kd_weight · T² · [inter_weight · mean over images of "
        "(1 − ρ of p_s^T and p_t^T) + intra_weight · mean over classes of the same], with ρ "
        "Pearson's correlation",
        paper=Paper(
            authors="Tao Huang, Shan You, Fei Wang, Chen Qian, Chang Xu",
            title="Knowledge Distillation from a Stronger Teacher",
            year=2022,
            url="https://arxiv.org/abs/2205.10536",
        ),
        spec=Dist,
        labels="if_ce_weight",
    )
