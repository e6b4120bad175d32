"""Measuring networks: scores on a split, latency, cost, and where it was measured."""

from kdcore.evaluation.ensemble import evaluate_ensemble
from kdcore.evaluation.environment import describe_environment, device_name
from kdcore.evaluation.eval_mode import eval_mode
from kdcore.evaluation.exact_float32 import exact_float32
from kdcore.evaluation.latency import measure_latency
from kdcore.evaluation.network_report import (
    DEFAULT_BATCH_SIZE,
    EvaluatedNetwork,
    difference,
    evaluate_network,
    mean_scores,
)
from kdcore.evaluation.predict import predict_logits, predict_logits_together
from kdcore.evaluation.scores import calibration_error, score

__all__ = [
    "DEFAULT_BATCH_SIZE",
    "EvaluatedNetwork",
    "calibration_error",
    "describe_environment",
    "device_name",
    "difference",
    "eval_mode",
    "evaluate_ensemble",
    "evaluate_network",
    "exact_float32",
    "mean_scores",
    "measure_latency",
    "predict_logits",
    "predict_logits_together",
    "score",
]
