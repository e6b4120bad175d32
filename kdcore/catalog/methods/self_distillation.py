"""`self_distillation`, as the catalog describes it."""

from kdcore.catalog.methods.entry import MethodEntry
from kdcore.catalog.papers import Paper
from kdcore.spec.methods import SelfDistillation


def self_distillation() -> MethodEntry:
    """Describe `self_distillation`."""
    return MethodEntry(
        name="self_distillation",
        title="Born-again networks",
        summary="The student is trained again and again, each generation under the one before. "
        "Needs no teacher: generation 0 learns from labels alone and is the control. In the "
        "report `teacher` is the generation that taught the student.",
        formula="ce_weight · CE(y, z_k) + kd_weight · T²/B · Σ KL(p_(k−1)^T ‖ p_k^T), "
        "k = 1 … generations",
        paper=Paper(
            authors="Tommaso Furlanello, Zachary C. Lipton, Michael Tschannen, Laurent Itti, "
            "Anima Anandkumar",
            title="Born-Again Neural Networks",
            year=2018,
            url="https://arxiv.org/abs/1805.04770",
        ),
        spec=SelfDistillation,
        labels="always",
    )
