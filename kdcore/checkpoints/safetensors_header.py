"""A safetensors header checked to the last byte before any tensor is read.

The format: 8 bytes little-endian header length, that many bytes of JSON, then the tensors'
bytes, without overlap or hole, to the end of the file.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from kdcore.checkpoints import limits
from kdcore.checkpoints.codes import Code, refusal, shown_number
from kdcore.checkpoints.dtypes import SAFETENSORS_DTYPES
from kdcore.checkpoints.entries import Place, TensorEntry
from kdcore.checkpoints.reading import OpenFile
from kdcore.errors import CheckpointRejected

LENGTH_BYTES = 8
METADATA_KEY = "__metadata__"
_FIELDS = {"dtype", "shape", "data_offsets"}
_SAVE_AGAIN = "Save the file again with the safetensors library."


@dataclass(frozen=True)
class SafetensorsHeader:
    """The tensors of one file by name, in the order of their bytes, and its metadata."""

    tensors: dict[str, TensorEntry]
    metadata: dict[str, str] = field(default_factory=dict)


def read_header(file: OpenFile, *, is_ours: bool = False) -> SafetensorsHeader:
    """Check the header of `file` and every number in it.

    `is_ours` lifts the limit on the number of tensors and takes dimensions of 0, as a training
    checkpoint may have them.

    Raises:
        CheckpointRejected: naming the first tensor that is wrong.
    """
    length = _header_length(file)
    start = LENGTH_BYTES + length
    document = parse_json_object(
        file.read(LENGTH_BYTES, length), Code.HEADER_INVALID, is_ours=is_ours
    )
    metadata = _metadata(document.pop(METADATA_KEY, {}))
    if len(document) > limits.MAX_TENSORS and not is_ours:
        raise _too_many()
    tensors = {
        name: _entry(name, value, position, start=start, smallest=0 if is_ours else 1)
        for position, (name, value) in enumerate(document.items())
    }
    if not tensors and not is_ours:
        raise refusal(Code.NO_TENSORS, f"The file holds no tensors. {_SAVE_AGAIN}")
    return SafetensorsHeader(_in_file_order(tensors, start, file.size), metadata)


def _header_length(file: OpenFile) -> int:
    """Return how long the header is, after checking that it is bounded and in the file."""
    if file.size < LENGTH_BYTES:
        raise refusal(Code.TOO_SHORT, f"The file has only {file.size} bytes. Upload it again.")
    length = int.from_bytes(file.read(0, LENGTH_BYTES), "little")
    if length > limits.MAX_HEADER_BYTES:
        raise refusal(
            Code.HEADER_TOO_LARGE,
            "The safetensors header says it is larger than 16 MiB, which no network needs. "
            + _SAVE_AGAIN,
            expected=f"at most {limits.MAX_HEADER_BYTES} bytes",
            found=f"{length} bytes",
        )
    start = LENGTH_BYTES + length
    if start > file.size:
        raise refusal(
            Code.HEADER_PAST_END,
            "The safetensors header reaches past the end of the file. Upload the whole file again.",
            expected=f"at least {start} bytes",
            found=f"{file.size} bytes",
        )
    return length


def parse_json_object(data: bytes, code: Code, *, is_ours: bool = False) -> dict[str, Any]:
    """Parse a bounded JSON object in which no key comes twice; `code` is for what is wrong."""
    if not is_ours:
        _check_marks(data, code)
    if not data.startswith(b"{"):
        raise refusal(code, f"The header must begin with a brace. {_SAVE_AGAIN}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise refusal(code, f"The header is not UTF-8 text. {_SAVE_AGAIN}") from None
    try:
        # The first character is a brace, so whatever is valid is an object.
        document: dict[str, Any] = json.loads(
            text, object_pairs_hook=_object, parse_constant=_no_constant
        )
    except (ValueError, RecursionError):
        raise refusal(code, f"The header is not valid JSON. {_SAVE_AGAIN}") from None
    return document


def _check_marks(data: bytes, code: Code) -> None:
    """Count what takes 20 times its byte in memory before any of it is parsed."""
    if data.count(b'"data_offsets"') > limits.MAX_TENSORS:
        raise _too_many()
    if max(data.count(b"{") + data.count(b"["), data.count(b",")) > limits.MAX_HEADER_MARKS:
        raise refusal(code, f"The header is not a list of tensors. {_SAVE_AGAIN}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                shown = name if limits.is_tensor_name(name) else None
                raise refusal(
                    Code.DUPLICATE_TENSOR,
                    f"The header names {shown or 'one key'} twice. {_SAVE_AGAIN}",
                    tensor=shown,
                )
            seen.add(name)
    return result


def _no_constant(_: str) -> None:
    raise ValueError


def _too_many() -> CheckpointRejected:
    return refusal(
        Code.TOO_MANY_TENSORS,
        f"The file has more than {limits.MAX_TENSORS} tensors. Save only the network's weights.",
        expected=f"at most {limits.MAX_TENSORS} tensors",
    )


def _metadata(value: Any) -> dict[str, str]:
    if isinstance(value, dict) and all(isinstance(text, str) for text in value.values()):
        return value
    raise refusal(
        Code.HEADER_INVALID, f"__metadata__ must map texts to texts. Leave it out. {_SAVE_AGAIN}"
    )


def _entry(name: str, value: Any, position: int, *, start: int, smallest: int) -> TensorEntry:
    check_tensor_name(name, position)
    if not isinstance(value, dict) or set(value) != _FIELDS:
        raise refusal(
            Code.HEADER_INVALID,
            f"Tensor {name} must have exactly the fields dtype, shape and data_offsets. "
            + _SAVE_AGAIN,
            tensor=name,
        )
    dtype = SAFETENSORS_DTYPES.get(value["dtype"]) if isinstance(value["dtype"], str) else None
    if dtype is None:
        raise refusal(
            Code.TENSOR_DTYPE,
            f"Tensor {name} has an element type that is not supported. Convert it to float32.",
            tensor=name,
            expected=", ".join(SAFETENSORS_DTYPES),
        )
    shape = _shape(name, value["shape"], smallest=smallest)
    begin, end = _offsets(name, value["data_offsets"])
    nbytes = dtype.itemsize
    for size in shape:
        nbytes *= size
    if nbytes != end - begin:
        raise refusal(
            Code.TENSOR_SIZE,
            f"Tensor {name} has other bytes than its shape and type need. {_SAVE_AGAIN}",
            tensor=name,
            expected=f"{shown_number(nbytes)} bytes",
            found=f"{shown_number(end - begin)} bytes",
        )
    return TensorEntry(dtype, shape, nbytes, Place(start + begin, nbytes))


def check_tensor_name(name: str, position: int) -> None:
    """Refuse a name that is not plain; the message counts instead of repeating the name."""
    if not limits.is_tensor_name(name):
        raise refusal(
            Code.TENSOR_NAME,
            f"The name of tensor number {position + 1} is not allowed. Names have up to "
            f"{limits.MAX_NAME_LENGTH} letters, digits and . _ : / - and no two dots in a row.",
        )


def _shape(name: str, value: Any, *, smallest: int) -> tuple[int, ...]:
    if isinstance(value, list) and len(value) > limits.MAX_RANK:
        raise refusal(
            Code.TENSOR_RANK,
            f"Tensor {name} has more than {limits.MAX_RANK} dimensions. {_SAVE_AGAIN}",
            tensor=name,
            expected=f"at most {limits.MAX_RANK} dimensions",
            found=f"{len(value)} dimensions",
        )
    if not isinstance(value, list) or any(type(n) is not int or n < smallest for n in value):
        raise refusal(
            Code.TENSOR_SHAPE,
            f"Tensor {name} has a shape that is not a list of whole numbers from {smallest} up. "
            + _SAVE_AGAIN,
            tensor=name,
        )
    return tuple(value)


def _offsets(name: str, value: Any) -> tuple[int, int]:
    if (
        not isinstance(value, list)
        or len(value) != 2
        or any(type(n) is not int for n in value)
        or not 0 <= value[0] <= value[1]
    ):
        raise refusal(
            Code.TENSOR_OFFSETS,
            f"Tensor {name} must have data_offsets of two rising whole numbers. {_SAVE_AGAIN}",
            tensor=name,
        )
    return value[0], value[1]


def _in_file_order(
    tensors: dict[str, TensorEntry], start: int, file_size: int
) -> dict[str, TensorEntry]:
    ordered = dict(sorted(tensors.items(), key=lambda item: (item[1].place.offset, item[1].nbytes)))
    end = start
    for name, entry in ordered.items():
        if entry.place.offset < end:
            raise refusal(
                Code.TENSORS_OVERLAP,
                f"Tensor {name} shares bytes with the one before it. {_SAVE_AGAIN}",
                tensor=name,
            )
        if entry.place.offset > end:
            raise refusal(
                Code.HOLE, f"There is a hole before tensor {name}. {_SAVE_AGAIN}", tensor=name
            )
        end += entry.nbytes
        if end > file_size:
            raise refusal(
                Code.TRUNCATED,
                f"The file ends before tensor {name} does. Upload the whole file again.",
                tensor=name,
                expected=f"at least {shown_number(end)} bytes",
                found=f"{file_size} bytes",
            )
    if end < file_size:
        raise refusal(
            Code.TRAILING_BYTES,
            f"Bytes follow the last tensor. {_SAVE_AGAIN}",
            expected=f"{end} bytes",
            found=f"{file_size} bytes",
        )
    return ordered
