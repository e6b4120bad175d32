"""Networks by description: built, normalised, counted, and their layers listed."""

from kdcore.models.build import build_network
from kdcore.models.classifier import Classifier
from kdcore.models.cost import count_flops, count_parameters
from kdcore.models.fitting_classifier import FittingClassifier
from kdcore.models.layers import tappable_layers
from kdcore.models.layout import channels_last
from kdcore.models.loading import load_weights

__all__ = [
    "Classifier",
    "FittingClassifier",
    "build_network",
    "channels_last",
    "count_flops",
    "count_parameters",
    "load_weights",
    "tappable_layers",
]
