"""The parameters of each distillation method. Formulas are in `kdcore/methods/<name>.py`."""

from typing import Annotated

from pydantic import Discriminator

from kdcore.spec.methods.base import MethodFields
from kdcore.spec.methods.crd import Crd
from kdcore.spec.methods.dist import Dist
from kdcore.spec.methods.dkd import Dkd
from kdcore.spec.methods.features import Attention, FeatureMatching, Fitnet, Fsp
from kdcore.spec.methods.layers import FlowPair, LayerPair
from kdcore.spec.methods.logit_standardization import LogitStandardization
from kdcore.spec.methods.logits import LogitKd, LogitMatching
from kdcore.spec.methods.mutual_learning import MutualLearning
from kdcore.spec.methods.reviewkd import ReviewKd
from kdcore.spec.methods.rkd import Rkd
from kdcore.spec.methods.self_distillation import SelfDistillation
from kdcore.spec.methods.simkd import SimKd

MethodSpec = Annotated[
    Attention
    | Crd
    | Dist
    | Dkd
    | FeatureMatching
    | Fitnet
    | Fsp
    | LogitKd
    | LogitMatching
    | LogitStandardization
    | MutualLearning
    | ReviewKd
    | Rkd
    | SelfDistillation
    | SimKd,
    Discriminator("name"),
]

__all__ = [
    "Attention",
    "Crd",
    "Dist",
    "Dkd",
    "FeatureMatching",
    "Fitnet",
    "FlowPair",
    "Fsp",
    "LayerPair",
    "LogitKd",
    "LogitMatching",
    "LogitStandardization",
    "MethodFields",
    "MethodSpec",
    "MutualLearning",
    "ReviewKd",
    "Rkd",
    "SelfDistillation",
    "SimKd",
]
