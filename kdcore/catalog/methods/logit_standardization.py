"""`logit_standardization` as the catalog describes it."""

from kdcore.catalog.methods.entry import MethodEntry
from kdcore.catalog.papers import Paper
from kdcore.spec.methods import LogitStandardization


def logit_standardization() -> MethodEntry:
    """Describe `logit_standardization`."""
    return MethodEntry(
        name="logit_standardization",
        title="Soft targets of standardised logits",
        summary="Soft targets after each image's logits were brought to mean 0 and deviation 1 in "
        "both networks, so that a small student need not reach the range of the teacher's "
        "logits.",
        formula="ce_weight · CE(y, z_s) + kd_weight · T²/B · Σ KL(softmax(Z_t/T) ‖ "
        "softmax(Z_s/T)), with Z = (z − mean(z)) / σ(z) of each image",
        paper=Paper(
            authors="Shangquan Sun, Wenqi Ren, Jingzhi Li, Rui Wang, Xiaochun Cao",
            title="Logit Standardization in Knowledge Distillation",
            year=2024,
            url="https://arxiv.org/abs/2403.01427",
        ),
        spec=LogitStandardization,
        labels="if_ce_weight",
    )
