"""Which layer of the student learns from which of the teacher: chosen or checked. Free of torch."""

from kdcore.pairing.resolve import has_pairs, resolve_layers

__all__ = ["has_pairs", "resolve_layers"]
