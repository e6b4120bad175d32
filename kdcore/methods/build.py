"""From a method's spec to its stages: the list of every method that can run."""

from typing import assert_never

from kdcore.methods.attention import attention_stages
from kdcore.methods.crd import crd_stages
from kdcore.methods.cross_entropy import CrossEntropy
from kdcore.methods.dist import dist_stages
from kdcore.methods.dkd import dkd_stages
from kdcore.methods.feature_matching import feature_matching_stages
from kdcore.methods.fitnet import fitnet_stages
from kdcore.methods.fsp import fsp_stages
from kdcore.methods.logit_kd import logit_kd_stages
from kdcore.methods.logit_matching import logit_matching_stages
from kdcore.methods.logit_standardization import logit_standardization_stages
from kdcore.methods.mutual_learning import mutual_learning_stages
from kdcore.methods.objective import Objective
from kdcore.methods.reviewkd import reviewkd_stages
from kdcore.methods.rkd import rkd_stages
from kdcore.methods.self_distillation import self_distillation_stages
from kdcore.methods.simkd import simkd_stages
from kdcore.methods.stage import TRAINING_STAGE, MethodInputs, MethodStage
from kdcore.spec.methods import (
    Attention,
    Crd,
    Dist,
    Dkd,
    FeatureMatching,
    Fitnet,
    Fsp,
    LogitKd,
    LogitMatching,
    LogitStandardization,
    MethodSpec,
    MutualLearning,
    ReviewKd,
    Rkd,
    SelfDistillation,
    SimKd,
)


def build_stages(method: MethodSpec | None, inputs: MethodInputs) -> tuple[MethodStage, ...]:
    """Make the stages of `method`, in order; None is training on labels alone.

    Raises:
        IncompatibleInputs: layers that the method names do not exist or do not fit one another.
    """
    match method:
        case None:
            return label_stages()
        case Attention():
            return attention_stages(method, inputs)
        case Crd():
            return crd_stages(method, inputs)
        case Dist():
            return dist_stages(method)
        case Dkd():
            return dkd_stages(method)
        case FeatureMatching():
            return feature_matching_stages(method, inputs)
        case Fitnet():
            return fitnet_stages(method, inputs)
        case Fsp():
            return fsp_stages(method, inputs)
        case LogitKd():
            return logit_kd_stages(method)
        case LogitMatching():
            return logit_matching_stages(method)
        case ReviewKd():
            return reviewkd_stages(method, inputs)
        case LogitStandardization():
            return logit_standardization_stages(method)
        case MutualLearning():
            return mutual_learning_stages(method, inputs)
        case Rkd():
            return rkd_stages(method)
        case SelfDistillation():
            return self_distillation_stages(method)
        case SimKd():
            return simkd_stages(method, inputs)
        case _:
            assert_never(method)


def label_stages() -> tuple[MethodStage, ...]:
    """Make the one stage of training on labels alone."""
    return (MethodStage(TRAINING_STAGE, Objective([(1.0, CrossEntropy())])),)
