"""The layers that a method compares, in words for reports and logs."""

from kdcore.spec.methods import FlowPair, LayerPair, MethodFields


def pairs_in_words(method: MethodFields) -> str:
    """Say which layers are compared, named by the spec or chosen for it; "" if none are."""
    pairs: tuple[LayerPair | FlowPair, ...] = getattr(method, "layers", ())
    return "; ".join(map(_in_words, pairs))


def _in_words(pair: LayerPair | FlowPair) -> str:
    student, teacher = (
        " to ".join(names) if isinstance(names, tuple) else names
        for names in (pair.student, pair.teacher)
    )
    adapter = "" if pair.adapter == "none" else f" by {pair.adapter}"
    return f"student's {student} from teacher's {teacher}{adapter}"
