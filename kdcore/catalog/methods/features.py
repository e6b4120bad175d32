"""Methods that compare layers, as the catalog describes them."""

from kdcore.catalog.methods.entry import MethodEntry
from kdcore.catalog.papers import Paper
from kdcore.spec.methods import Fsp


def fsp() -> MethodEntry:
    """Describe `fsp`."""
    return MethodEntry(
        name="fsp",
        title="Flow of solution procedure",
        summary="Before it learns the task, the student learns how the teacher goes from one "
        "layer to another: the products of the channels of both. The teacher may have learnt "
        "another task.",
        formula="fsp: 1/B · Σ_B Σ_i λ_i · ‖G_t,i − G_s,i‖²_F, with G = F₁ᵀF₂/(h·w) of two layers' "
        "maps; training: ce_weight · CE(y, z_s) + kd_weight · T²/B · Σ KL(p_t^T ‖ p_s^T)",
        paper=Paper(
            authors="Junho Yim, Donggyu Joo, Jihoon Bae, Junmo Kim",
            title="A Gift from Knowledge Distillation: Fast Optimization, Network Minimization "
            "and Transfer Learning",
            year=2017,
            url="https://openaccess.thecvf.com/content_cvpr_2017/html/"
            "Yim_A_Gift_From_CVPR_2017_paper.html",
        ),
        spec=Fsp,
        labels="if_ce_weight",
    )
