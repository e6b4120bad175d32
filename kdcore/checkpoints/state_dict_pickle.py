"""From a state dict's pickle to its tensors by name, skipping what lies beside the weights."""

from typing import Any

from kdcore.checkpoints import limits
from kdcore.checkpoints.codes import RESAVE_STATE_DICT, Code, refusal
from kdcore.checkpoints.pickle_symbols import Dictionary, Tensor
from kdcore.checkpoints.pickle_walk import walk
from kdcore.checkpoints.safetensors_header import check_tensor_name

# The names under which training scripts keep the weights beside other state.
STATE_DICT_KEYS = ("state_dict", "model", "model_state_dict", "student")


def read_state_dict(data: bytes) -> dict[str, Tensor]:
    """Return the tensors that the pickle `data` lists, each under its own name.

    Tensors are taken from one of `STATE_DICT_KEYS` where there is one, else from the top.

    Raises:
        CheckpointRejected: if `data` is more than a state dict, or holds no tensors, or several
            state dicts.
    """
    root = walk(data)
    if not isinstance(root, Dictionary):
        raise _no_state_dict()
    nested = [
        (key, value)
        for key, value in root.pairs
        if isinstance(key, str) and key in STATE_DICT_KEYS and _has_tensors(value)
    ]
    if len(nested) > 1:
        names = ", ".join(key for key, _ in nested[: len(STATE_DICT_KEYS)])
        raise refusal(
            Code.AMBIGUOUS_STATE_DICT,
            f"The file holds several state dicts ({names}). Save only the teacher's.",
            expected="one state dict",
            found=names,
        )
    tensors = _tensors(nested[0][1] if nested else root)
    if not tensors:
        raise _no_state_dict()
    return tensors


def _no_state_dict() -> Exception:
    return refusal(
        Code.NO_STATE_DICT,
        "The file holds no state dict: names with a tensor each, at the top or under one of "
        f"{', '.join(STATE_DICT_KEYS)}. {RESAVE_STATE_DICT}",
    )


def _has_tensors(value: Any) -> bool:
    return isinstance(value, Dictionary) and any(isinstance(v, Tensor) for _, v in value.pairs)


def _tensors(state_dict: Dictionary) -> dict[str, Tensor]:
    named = [(key, value) for key, value in state_dict.pairs if isinstance(value, Tensor)]
    if len(named) > limits.MAX_TENSORS:
        raise refusal(
            Code.TOO_MANY_TENSORS,
            f"The file has more than {limits.MAX_TENSORS} tensors. Save only the network's "
            "weights.",
            expected=f"at most {limits.MAX_TENSORS} tensors",
            found=f"{len(named)} tensors",
        )
    tensors: dict[str, Tensor] = {}
    for position, (name, tensor) in enumerate(named):
        # A key that is no text counts as a name that is not allowed.
        check_tensor_name(name if isinstance(name, str) else "", position)
        if name in tensors:
            raise refusal(
                Code.DUPLICATE_TENSOR,
                f"The file lists tensor {name} twice. {RESAVE_STATE_DICT}",
                tensor=name,
            )
        tensors[name] = tensor
    return tensors
