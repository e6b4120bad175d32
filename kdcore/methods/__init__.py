"""Distillation methods: one published method a file, and the stages that a spec asks for."""

from kdcore.methods.attention import attention_loss, attention_maps
from kdcore.methods.build import build_stages
from kdcore.methods.cross_entropy import CrossEntropy, cross_entropy
from kdcore.methods.dist import dist_loss
from kdcore.methods.dkd import dkd_loss
from kdcore.methods.fsp import flow_matrices, fsp_loss
from kdcore.methods.layer_distance import layer_distance
from kdcore.methods.logit_kd import kd_loss
from kdcore.methods.logit_matching import logit_matching_loss
from kdcore.methods.logit_standardization import standardized_kd_loss
from kdcore.methods.mutual_learning import mimicry_loss
from kdcore.methods.objective import LossTerms, Objective
from kdcore.methods.stage import MethodInputs, MethodStage
from kdcore.methods.step import Labels, Step
from kdcore.methods.term import Term

__all__ = [
    "CrossEntropy",
    "Labels",
    "LossTerms",
    "MethodInputs",
    "MethodStage",
    "Objective",
    "Step",
    "Term",
    "attention_loss",
    "attention_maps",
    "build_stages",
    "cross_entropy",
    "dist_loss",
    "dkd_loss",
    "flow_matrices",
    "fsp_loss",
    "kd_loss",
    "layer_distance",
    "logit_matching_loss",
    "mimicry_loss",
    "standardized_kd_loss",
]
