"""`simkd`, as the catalog describes it."""

from kdcore.catalog.methods.entry import MethodEntry
from kdcore.catalog.papers import Paper
from kdcore.spec.methods import SimKd


def simkd() -> MethodEntry:
    """Describe `simkd`."""
    return MethodEntry(
        name="simkd",
        title="Reused teacher classifier",
        summary="The student's last map is projected to the teacher's and learns it, by its "
        "squared distance alone; the teacher's classifier is reused as it is. Projector and "
        "classifier are part of the exported student.",
        formula="ce_weight · CE(y, z_s) + kd_weight · T²/B · Σ KL(p_t^T ‖ p_s^T) + "
        "feature_weight · mean((P(F_s) − F_t)²), P the projector, z_s = W_t · avg(P(F_s)) + b_t",
        paper=Paper(
            authors="Defang Chen, Jian-Ping Mei, Hailin Zhang, Can Wang, Yan Feng, Chun Chen",
            title="Knowledge Distillation with the Reused Teacher Classifier",
            year=2022,
            url="https://arxiv.org/abs/2203.14001",
        ),
        spec=SimKd,
        labels="if_ce_weight",
    )
