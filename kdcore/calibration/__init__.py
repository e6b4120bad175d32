"""Shifts the class biases of trained networks, by given offsets or by offsets that it finds."""

from kdcore.calibration.accuracy_search import most_accurate_offsets
from kdcore.calibration.calibrate import calibrate, report_calibration
from kdcore.calibration.class_biases import add_to_class_biases, class_biases
from kdcore.calibration.prior_matching import match_prior

__all__ = [
    "add_to_class_biases",
    "calibrate",
    "class_biases",
    "match_prior",
    "most_accurate_offsets",
    "report_calibration",
]
