"""Which layer of the student learns from which of the teacher: chosen or checked. Free of torch."""

from kdcore.pairing.resolve import has_pairs, resolve_layers
from kdcore.pairing.wording import pairs_in_words

__all__ = ["has_pairs", "pairs_in_words", "resolve_layers"]
