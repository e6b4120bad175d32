"""`reviewkd`, as the catalog describes it."""

from kdcore.catalog.methods.entry import MethodEntry
from kdcore.catalog.papers import Paper
from kdcore.spec.methods import ReviewKd


def reviewkd() -> MethodEntry:
    """Describe `reviewkd`."""
    return MethodEntry(
        name="reviewkd",
        title="Knowledge review",
        summary="Each stage of the teacher teaches all stages of the student from the deepest up "
        "to its own, joined by attention that trains with the student and is never exported. "
        "Maps are compared whole and averaged down to 4x4, 2x2 and 1x1.",
        formula="ce_weight · CE(y, z_s) + kd_weight · T²/B · Σ KL(p_t^T ‖ p_s^T) + "
        "feature_weight · min(epoch/warmup_epochs, 1) · Σ_stages HCL(ABF(F_s), F_t), "
        "HCL(F, G) = Σ_l w_l · mean((P_l(F) − P_l(G))²) / Σ_l w_l",
        paper=Paper(
            authors="Pengguang Chen, Shu Liu, Hengshuang Zhao, Jiaya Jia",
            title="Distilling Knowledge via Knowledge Review",
            year=2021,
            url="https://arxiv.org/abs/2104.09044",
        ),
        spec=ReviewKd,
        labels="if_ce_weight",
    )
