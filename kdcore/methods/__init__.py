"""Distillation methods: one published loss a file, and the objective that a spec asks for."""

from kdcore.methods.cross_entropy import cross_entropy
from kdcore.methods.logit_kd import kd_loss
from kdcore.methods.logit_matching import logit_matching_loss
from kdcore.methods.objective import LossTerms, Objective, build_objective

__all__ = [
    "LossTerms",
    "Objective",
    "build_objective",
    "cross_entropy",
    "kd_loss",
    "logit_matching_loss",
]
