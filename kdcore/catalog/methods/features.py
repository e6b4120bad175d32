"""Methods that compare layers, as the catalog describes them."""

from kdcore.catalog.methods.entry import MethodEntry
from kdcore.catalog.papers import Paper
from kdcore.spec.methods import Attention, FeatureMatching, Fitnet, Fsp

_FITNETS = Paper(
    authors="Adriana Romero, Nicolas Ballas, Samira Ebrahimi Kahou, Antoine Chassang, Carlo Gatta, "
    "Yoshua Bengio",
    title="FitNets: Hints for Thin Deep Nets",
    year=2015,
    url="https://arxiv.org/abs/1412.6550",
)


def fsp() -> MethodEntry:
    """Describe `fsp`."""
    return MethodEntry(
        name="fsp",
        title="Flow of solution procedure",
        summary="Before it learns the task, the student learns how the teacher goes from one "
        "layer to another: the products of the channels of both. The teacher may have learnt "
        "another task. The first stage's loss is a sum over whole matrices, under which gradient "
        "descent at the job's own rate may diverge: unless the job names its optimizer it is Adam.",
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


def fitnet() -> MethodEntry:
    """Describe `fitnet`."""
    return MethodEntry(
        name="fitnet",
        title="FitNets: hints",
        summary="Before it learns the task, the student learns a middle layer of the teacher "
        "through a regressor that is then thrown away; so a student deeper than its teacher finds "
        "a start.",
        formula="hint: 1/(B·n) · Σ_B ‖r(F_s) − F_t‖², r a regressor, n numbers of the layer; "
        "training: ce_weight · CE(y, z_s) + kd_weight · T²/B · Σ KL(p_t^T ‖ p_s^T)",
        paper=_FITNETS,
        spec=Fitnet,
        labels="if_ce_weight",
    )


def attention() -> MethodEntry:
    """Describe `attention`."""
    return MethodEntry(
        name="attention",
        title="Attention transfer",
        summary="The student's layers learn to be active at the places of an image where the "
        "teacher's are; channels and sizes of the two may differ. The published weight of 1000 is "
        "for maps of 7x7 and more, so smaller ones are not chosen; on 2x2 it drowns the labels.",
        formula="ce_weight · CE(y, z_s) + kd_weight · T²/B · Σ KL(p_t^T ‖ p_s^T) + feature_weight "
        "· Σ_pairs 1/(B·h·w) · Σ_B ‖a_s − a_t‖², with a = Q/‖Q‖ of Q = mean of F² over channels",
        paper=Paper(
            authors="Sergey Zagoruyko, Nikos Komodakis",
            title="Paying More Attention to Attention: Improving the Performance of Convolutional "
            "Neural Networks via Attention Transfer",
            year=2017,
            url="https://arxiv.org/abs/1612.03928",
        ),
        spec=Attention,
        labels="if_ce_weight",
    )


def feature_matching() -> MethodEntry:
    """Describe `feature_matching`."""
    return MethodEntry(
        name="feature_matching",
        title="Intermediate layers by name",
        summary="While it learns the task, layer i of the student learns layer j of the teacher, "
        "in any number of pairs, each with a projection if it names one. A weight of 100, usual "
        "behind projections with BatchNorm, may diverge here without clipped gradients.",
        formula="ce_weight · CE(y, z_s) + kd_weight · T²/B · Σ KL(p_t^T ‖ p_s^T) + feature_weight "
        "· Σ_pairs 1/(B·n) · Σ_B ‖r(F_s) − F_t‖², r a projection or nothing, n numbers of a layer",
        paper=_FITNETS,
        spec=FeatureMatching,
        labels="if_ce_weight",
    )
