"""What a network computes on the way to its logits: layers tapped by name."""

from kdcore.features.observation import Observation
from kdcore.features.tapped import Tapped

__all__ = ["Observation", "Tapped"]
