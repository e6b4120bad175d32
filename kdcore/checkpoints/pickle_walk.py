"""A symbolic walk over a pickle's opcodes: it builds descriptions and never calls anything.

The opcodes are those that `torch.save` writes for dicts, lists, tuples, numbers, texts and
tensors under pickle protocol 2 (Python's `pickletools` documents each). Every other is refused.
"""

import struct
from collections.abc import Callable
from typing import Any, Final

from kdcore.checkpoints import limits
from kdcore.checkpoints.codes import RESAVE_STATE_DICT, Code, refusal
from kdcore.checkpoints.pickle_calls import call, check_build, known_name, storage_from
from kdcore.checkpoints.pickle_symbols import Dictionary
from kdcore.errors import CheckpointRejected

_STOP: Final = ord(".")
_MAX_GLOBAL_LINE: Final = 256
_DAMAGE = (IndexError, KeyError, struct.error, UnicodeDecodeError)


def walk(data: bytes) -> Any:
    """Return a description of what `data` would unpickle to; see `pickle_symbols`.

    Raises:
        CheckpointRejected: for every opcode, name or call that a state dict does not need.
    """
    if len(data) > limits.MAX_PICKLE_BYTES:
        raise too_large()
    if data[:2] != b"\x80\x02":
        raise refusal(
            Code.PICKLE_OPCODE,
            "The file was saved with another pickle protocol than torch.save's own, which is 2. "
            f"{RESAVE_STATE_DICT}",
            expected="pickle protocol 2",
        )
    return _Walk(data).run()


def too_large() -> CheckpointRejected:
    """Make the refusal of a pickle that is too long to be a state dict's."""
    return refusal(
        Code.PICKLE_TOO_LARGE,
        f"The file describes more than a network's weights should need. {RESAVE_STATE_DICT}",
    )


def _damaged() -> CheckpointRejected:
    return refusal(
        Code.PICKLE_DAMAGED, f"The file's table of tensors is damaged. {RESAVE_STATE_DICT}"
    )


class _Walk:
    """The state of one walk: position, stack, the stacks below open marks, and memo."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 2
        self.stack: list[Any] = []
        self.stacks_below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.num_containers = 0

    def run(self) -> Any:
        try:
            return self._run()
        except _DAMAGE:
            # Reading past the end, taking from an empty stack, or a memo that was never put.
            raise _damaged() from None

    def _run(self) -> Any:
        data = self.data
        for _ in range(limits.MAX_PICKLE_OPCODES):
            opcode = data[self.position]
            self.position += 1
            if opcode == _STOP:
                return self._result()
            step = _STEPS.get(opcode)
            if step is None:
                raise refusal(
                    Code.PICKLE_OPCODE,
                    "The file does more than list tensors, so it is not a plain state dict; "
                    f"nothing of it was run. {RESAVE_STATE_DICT}",
                    found=f"opcode 0x{opcode:02x}",
                )
            step(self)
        raise too_large()

    def _result(self) -> Any:
        (result,) = self.stack if len(self.stack) == 1 else (None,)
        if result is None or self.stacks_below or self.position != len(self.data):
            raise _damaged()
        return result

    def take(self, size: int) -> bytes:
        piece = self.data[self.position : self.position + size]
        if len(piece) != size:
            raise _damaged()
        self.position += size
        return piece

    def unpack(self, layout: struct.Struct) -> Any:
        (value,) = layout.unpack_from(self.data, self.position)
        self.position += layout.size
        return value

    def line(self) -> str:
        end = self.data.find(b"\n", self.position, self.position + _MAX_GLOBAL_LINE)
        if end < 0:
            raise _damaged()
        text = self.data[self.position : end].decode("utf-8")
        self.position = end + 1
        return text

    def items_since_mark(self) -> list[Any]:
        items = self.stack
        self.stack = self.stacks_below.pop()
        return items

    def push_container(self, container: list[Any] | Dictionary) -> None:
        # Each costs a hundred times its one byte, in memory and in garbage collection.
        self.num_containers += 1
        if self.num_containers > limits.MAX_PICKLE_CONTAINERS:
            raise too_large()
        self.stack.append(container)

    def top(self, kind: type) -> Any:
        value = self.stack[-1]
        if not isinstance(value, kind):
            raise _damaged()
        return value


_UINT8 = struct.Struct("<B")
_UINT16 = struct.Struct("<H")
_UINT32 = struct.Struct("<I")
_INT32 = struct.Struct("<i")
_FLOAT64 = struct.Struct(">d")


def _push(value: Any) -> Callable[[_Walk], None]:
    return lambda walk: walk.stack.append(value)


def _push_number(layout: struct.Struct) -> Callable[[_Walk], None]:
    return lambda walk: walk.stack.append(walk.unpack(layout))


def _put(layout: struct.Struct) -> Callable[[_Walk], None]:
    def step(walk: _Walk) -> None:
        walk.memo[walk.unpack(layout)] = walk.stack[-1]

    return step


def _get(layout: struct.Struct) -> Callable[[_Walk], None]:
    return lambda walk: walk.stack.append(walk.memo[walk.unpack(layout)])


def _short_tuple(size: int) -> Callable[[_Walk], None]:
    def step(walk: _Walk) -> None:
        if len(walk.stack) < size:
            raise _damaged()
        walk.stack[-size:] = [tuple(walk.stack[-size:])]

    return step


def _mark(walk: _Walk) -> None:
    if len(walk.stacks_below) >= limits.MAX_PICKLE_DEPTH:
        raise too_large()
    walk.stacks_below.append(walk.stack)
    walk.stack = []


def _tuple(walk: _Walk) -> None:
    items = walk.items_since_mark()
    walk.stack.append(tuple(items))


def _empty_list(walk: _Walk) -> None:
    walk.push_container([])


def _empty_dictionary(walk: _Walk) -> None:
    walk.push_container(Dictionary(is_ordered=False))


def _append(walk: _Walk) -> None:
    value = walk.stack.pop()
    walk.top(list).append(value)


def _appends(walk: _Walk) -> None:
    items = walk.items_since_mark()
    walk.top(list).extend(items)


def _set_item(walk: _Walk) -> None:
    value = walk.stack.pop()
    key = walk.stack.pop()
    walk.top(Dictionary).pairs.append((key, value))


def _set_items(walk: _Walk) -> None:
    items = walk.items_since_mark()
    if len(items) % 2:
        raise _damaged()
    walk.top(Dictionary).pairs.extend(zip(items[::2], items[1::2], strict=True))


def _text(walk: _Walk) -> None:
    size = walk.unpack(_UINT32)
    if size > limits.MAX_PICKLE_STRING_BYTES:
        raise too_large()
    walk.stack.append(walk.take(size).decode("utf-8"))


def _long(walk: _Walk) -> None:
    walk.stack.append(int.from_bytes(walk.take(walk.unpack(_UINT8)), "little", signed=True))


def _global(walk: _Walk) -> None:
    module = walk.line()
    walk.stack.append(known_name(module, walk.line()))


def _persistent_id(walk: _Walk) -> None:
    walk.stack.append(storage_from(walk.stack.pop()))


def _reduce(walk: _Walk) -> None:
    arguments = walk.stack.pop()
    walk.stack.append(call(walk.stack.pop(), arguments))


def _build(walk: _Walk) -> None:
    state = walk.stack.pop()
    check_build(walk.stack[-1], state)


_STEPS: Final[dict[int, Callable[[_Walk], None]]] = {
    ord("("): _mark,
    ord(")"): _push(()),
    ord("t"): _tuple,
    0x85: _short_tuple(1),
    0x86: _short_tuple(2),
    0x87: _short_tuple(3),
    ord("]"): _empty_list,
    ord("a"): _append,
    ord("e"): _appends,
    ord("}"): _empty_dictionary,
    ord("s"): _set_item,
    ord("u"): _set_items,
    ord("N"): _push(None),
    0x88: _push(True),
    0x89: _push(False),
    ord("K"): _push_number(_UINT8),
    ord("M"): _push_number(_UINT16),
    ord("J"): _push_number(_INT32),
    ord("G"): _push_number(_FLOAT64),
    0x8A: _long,
    ord("X"): _text,
    ord("q"): _put(_UINT8),
    ord("r"): _put(_UINT32),
    ord("h"): _get(_UINT8),
    ord("j"): _get(_UINT32),
    ord("c"): _global,
    ord("Q"): _persistent_id,
    ord("R"): _reduce,
    ord("b"): _build,
}
