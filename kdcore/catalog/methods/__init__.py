"""The methods that can be asked for: what each computes, its fields, needs, stages and paper."""

from kdcore.catalog.methods.crd import crd
from kdcore.catalog.methods.dist import dist
from kdcore.catalog.methods.dkd import dkd
from kdcore.catalog.methods.entry import MethodEntry, Needs
from kdcore.catalog.methods.features import attention, feature_matching, fitnet, fsp
from kdcore.catalog.methods.logit_standardization import logit_standardization
from kdcore.catalog.methods.logits import logit_kd, logit_matching
from kdcore.catalog.methods.mutual_learning import mutual_learning
from kdcore.catalog.methods.reviewkd import reviewkd
from kdcore.catalog.methods.rkd import rkd
from kdcore.catalog.methods.self_distillation import self_distillation
from kdcore.catalog.methods.simkd import simkd

__all__ = ["MethodEntry", "Needs", "methods"]


def methods() -> tuple[MethodEntry, ...]:
    """List every method that a job can name: by logits, by layers, then without a teacher."""
    return (
        logit_kd(),
        logit_matching(),
        dkd(),
        dist(),
        logit_standardization(),
        fitnet(),
        fsp(),
        attention(),
        feature_matching(),
        rkd(),
        crd(),
        reviewkd(),
        simkd(),
        self_distillation(),
        mutual_learning(),
    )
