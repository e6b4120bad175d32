"""`crd`, as the catalog describes it."""

from kdcore.catalog.methods.entry import MethodEntry
from kdcore.catalog.papers import Paper
from kdcore.spec.methods import Crd


def crd() -> MethodEntry:
    """Describe `crd`."""
    return MethodEntry(
        name="crd",
        title="Contrastive representation distillation",
        summary="Each network's embedding of an image is to be told from the other network's "
        "embeddings of thousands of other images, kept in a memory of the whole train split.",
        formula="ce_weight · CE(y, z_s) + kd_weight · T²/B · Σ KL(p_t^T ‖ p_s^T) − "
        "feature_weight · 1/B · Σ_both [log h(i,i) + Σ_k log(1 − h(i,k))], "
        "h = p/(p + K/N), p = exp(e_i·m_k/τ)/Z",
        paper=Paper(
            authors="Yonglong Tian, Dilip Krishnan, Phillip Isola",
            title="Contrastive Representation Distillation",
            year=2020,
            url="https://arxiv.org/abs/1910.10699",
        ),
        spec=Crd,
        labels="if_ce_weight",
    )
