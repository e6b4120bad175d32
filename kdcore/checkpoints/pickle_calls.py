"""The few names a state dict's pickle may use, and what calling each of them means."""

import re
from typing import Any

from kdcore.checkpoints.codes import RESAVE_AS_SAFETENSORS, RESAVE_STATE_DICT, Code, refusal
from kdcore.checkpoints.dtypes import STORAGE_DTYPES
from kdcore.checkpoints.formats import format_refusal
from kdcore.checkpoints.pickle_symbols import Dictionary, Function, Storage, StorageType, Tensor
from kdcore.errors import CheckpointRejected

_ORDERED_DICT = "collections.OrderedDict"
_REBUILD_TENSOR = "torch._utils._rebuild_tensor_v2"
_REBUILD_PARAMETER = "torch._utils._rebuild_parameter"
_FUNCTIONS = {name: Function(name) for name in (_ORDERED_DICT, _REBUILD_TENSOR, _REBUILD_PARAMETER)}
_STORAGE_TYPES = {f"torch.{name}": StorageType(dtype) for name, dtype in STORAGE_DTYPES.items()}
_QUANTIZED_STORAGE = re.compile(r"torch\.Q\w+Storage")
_SHOWN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,99}")


def known_name(module: str, name: str) -> Function | StorageType:
    """Return the meaning of a global that a pickle refers to.

    Raises:
        CheckpointRejected: for every name that a plain state dict does not need.
    """
    dotted = f"{module}.{name}"
    known = _FUNCTIONS.get(dotted) or _STORAGE_TYPES.get(dotted)
    if known is None:
        raise _unknown(dotted)
    return known


def _unknown(dotted: str) -> CheckpointRejected:
    if dotted.startswith("torch._utils._rebuild_sparse"):
        return refusal(
            Code.TENSOR_SPARSE,
            "The file holds a sparse tensor. Make it dense with .to_dense() and save again.",
        )
    if dotted == "torch._utils._rebuild_qtensor" or _QUANTIZED_STORAGE.fullmatch(dotted):
        return refusal(
            Code.TENSOR_QUANTIZED,
            "The file holds a quantized tensor. Upload the float32 weights from before "
            "quantization.",
        )
    if dotted.startswith(("torch.nn.", "torchvision.models.")):
        return format_refusal(Code.WHOLE_MODULE)
    shown = dotted if _SHOWN_NAME.fullmatch(dotted) else None
    return refusal(
        Code.PICKLE_GLOBAL,
        f"The file refers to {shown or 'a class or function'}, which a plain state dict does not "
        f"need; nothing of it was run. {RESAVE_STATE_DICT} {RESAVE_AS_SAFETENSORS}",
        found=shown,
    )


def call(function: Any, arguments: Any) -> Dictionary | Tensor:
    """Return what `function(*arguments)` stands for, without calling anything.

    Raises:
        CheckpointRejected: for arguments that torch.save never writes.
    """
    if isinstance(function, Function) and isinstance(arguments, tuple):
        if function.name == _ORDERED_DICT and not arguments:
            return Dictionary(is_ordered=True)
        if function.name == _REBUILD_TENSOR:
            return _tensor(arguments)
        if function.name == _REBUILD_PARAMETER:
            return _parameter(arguments)
    raise refused_call()


def _tensor(arguments: tuple[Any, ...]) -> Tensor:
    if len(arguments) != 6:
        raise refused_call()
    storage, offset, shape, strides, _, hooks = arguments
    if (
        not isinstance(storage, Storage)
        or not isinstance(shape, tuple)
        or not isinstance(strides, tuple)
        or not _is_empty_dictionary(hooks)
    ):
        raise refused_call()
    return Tensor(storage, offset, shape, strides)


def _parameter(arguments: tuple[Any, ...]) -> Tensor:
    if len(arguments) != 3:
        raise refused_call()
    tensor, _, hooks = arguments
    if not isinstance(tensor, Tensor) or not _is_empty_dictionary(hooks):
        raise refused_call()
    return tensor


def storage_from(persistent_id: Any) -> Storage:
    """Return the storage that a persistent id names: its type, record, device and length.

    Raises:
        CheckpointRejected: for an id that torch.save never writes.
    """
    match persistent_id:
        case ("storage", StorageType(dtype), str(key), str(), int(num_elements)) if (
            type(num_elements) is int
        ):
            if re.fullmatch(r"[0-9]{1,20}", key) is None:
                raise refusal(
                    Code.STORAGE_KEY,
                    "A tensor's bytes are asked for under a name that torch.save never gives. "
                    f"{RESAVE_STATE_DICT}",
                )
            return Storage(dtype, key, num_elements)
        case _:
            raise refused_call()


def check_build(target: Any, state: Any) -> None:
    """Allow only the note on module versions that `state_dict()` pins to its OrderedDict.

    Raises:
        CheckpointRejected: for any other state set on any other object.
    """
    if (
        not (isinstance(target, Dictionary) and target.is_ordered)
        or not isinstance(state, Dictionary)
        or any(key != "_metadata" for key, _ in state.pairs if isinstance(key, str))
        or any(not isinstance(key, str) for key, _ in state.pairs)
    ):
        raise refused_call()


def refused_call() -> CheckpointRejected:
    """Make the refusal of a known name used in an unknown way."""
    return refusal(
        Code.PICKLE_CALL,
        "The file rebuilds an object in a way that a plain state dict does not. "
        f"{RESAVE_STATE_DICT}",
    )


def _is_empty_dictionary(value: Any) -> bool:
    return isinstance(value, Dictionary) and not value.pairs
