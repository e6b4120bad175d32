"""`rkd`, as the catalog describes it."""

from kdcore.catalog.methods.entry import MethodEntry
from kdcore.catalog.papers import Paper
from kdcore.spec.methods import Rkd


def rkd() -> MethodEntry:
    """Describe `rkd`."""
    return MethodEntry(
        name="rkd",
        title="Relational knowledge distillation",
        summary="The student keeps how the images of a batch lie to one another in the teacher's "
        "embedding: the distances of pairs and the angles of triplets. The embeddings may have "
        "any two widths.",
        formula="ce_weight · CE(y, z_s) + kd_weight · T²/B · Σ KL(p_t^T ‖ p_s^T) + "
        "distance_weight · 1/B² · Σ_ij H(d^s_ij/μ_s − d^t_ij/μ_t) + "
        "angle_weight · 1/B³ · Σ_ijk H(cos^s_ijk − cos^t_ijk), H Huber's loss, d distances of "
        "embeddings, μ their mean",
        paper=Paper(
            authors="Wonpyo Park, Dongju Kim, Yan Lu, Minsu Cho",
            title="Relational Knowledge Distillation",
            year=2019,
            url="https://arxiv.org/abs/1904.05068",
        ),
        spec=Rkd,
        labels="if_ce_weight",
    )
