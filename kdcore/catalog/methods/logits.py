"""Methods that compare logits, as the catalog describes them."""

from kdcore.catalog.methods.entry import MethodEntry
from kdcore.catalog.papers import Paper
from kdcore.spec.methods import LogitKd, LogitMatching


def logit_kd() -> MethodEntry:
    """Describe `logit_kd`."""
    return MethodEntry(
        name="logit_kd",
        title="Soft targets at a temperature",
        summary="The student learns the teacher's probabilities, softened by a temperature that "
        "brings out what the teacher thinks of the wrong classes.",
        formula="ce_weight · CE(y, z_s) + kd_weight · T²/B · Σ KL(p_t^T ‖ p_s^T)",
        paper=Paper(
            authors="Geoffrey Hinton, Oriol Vinyals, Jeff Dean",
            title="Distilling the Knowledge in a Neural Network",
            year=2015,
            url="https://arxiv.org/abs/1503.02531",
        ),
        spec=LogitKd,
        labels="if_ce_weight",
    )


def logit_matching() -> MethodEntry:
    """Describe `logit_matching`."""
    return MethodEntry(
        name="logit_matching",
        title="Logit matching",
        summary="The student learns the teacher's logits by their squared distance: what "
        "soft targets become as the temperature grows.",
        formula="ce_weight · CE(y, z_s) + kd_weight · 1/(2B) · Σ ‖z_s − z_t‖²",
        paper=Paper(
            authors="Lei Jimmy Ba, Rich Caruana",
            title="Do Deep Nets Really Need to be Deep?",
            year=2014,
            url="https://arxiv.org/abs/1312.6184",
        ),
        spec=LogitMatching,
        labels="if_ce_weight",
    )
