"""The symbolic walk over a pickle: what a state dict needs, nothing else, and never a call."""

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kdcore.checkpoints import Code
from kdcore.checkpoints.pickle_symbols import Dictionary, Storage, Tensor
from kdcore.checkpoints.pickle_walk import walk
from kdcore.errors import CheckpointRejected

if TYPE_CHECKING:
    from tests.kdcore.checkpoints.conftest import PickleAssembler


def refusal_of(data: bytes) -> CheckpointRejected:
    with pytest.raises(CheckpointRejected) as caught:
        walk(data)
    return caught.value


def whole(opcodes: bytes) -> bytes:
    return b"\x80\x02" + opcodes + b"."


def test_numbers_texts_and_lists_are_read() -> None:
    opcodes = b"](K\x07M\x00\x01J\xff\xff\xff\xffG?\xf8\x00\x00\x00\x00\x00\x00\x8a\x01\xfe"
    result = walk(whole(opcodes + b"NX\x02\x00\x00\x00hi\x88\x89)(K\x01teK\x09a"))
    assert result == [7, 256, -1, 1.5, -2, None, "hi", True, False, (), (1,), 9]


def test_short_tuples_and_memo_are_read() -> None:
    assert walk(whole(b"K\x01q\x00h\x00\x86h\x00\x85\x86")) == ((1, 1), (1,))
    assert walk(whole(b"K\x01r\x00\x00\x01\x00j\x00\x00\x01\x00K\x02\x87")) == (1, 1, 2)


def test_dictionaries_keep_their_pairs_in_order() -> None:
    result = walk(whole(b"}(K\x02NK\x01NuK\x02Ns"))
    assert isinstance(result, Dictionary)
    assert result.pairs == [(2, None), (1, None), (2, None)]


def test_tensor_is_described_and_not_made(assembler: "PickleAssembler") -> None:
    storage = assembler.storage("7", kind="HalfStorage", count=10**12)
    tensor = walk(assembler.whole(assembler.tensor(storage=storage, shape=(10**6, 10**6))))
    assert isinstance(tensor, Tensor)
    assert isinstance(tensor.storage, Storage)
    assert (tensor.storage.key, tensor.storage.num_elements) == ("7", 10**12)
    assert tensor.shape == (10**6, 10**6)


def test_parameter_is_the_tensor_in_it(assembler: "PickleAssembler") -> None:
    arguments = assembler.tuple(assembler.tensor(), b"\x88", assembler.ordered_dict)
    parameter = assembler.name("torch._utils", "_rebuild_parameter") + arguments + b"R"
    assert isinstance(walk(assembler.whole(parameter)), Tensor)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("posix", "mkdir"),
        ("builtins", "eval"),
        ("__builtin__", "bytearray"),
        ("torch", "Tensor"),
        ("torch", "load"),
        ("torch", "Size"),
        ("torch.storage", "_load_from_bytes"),
        ("collections", "OrderedDict.fromkeys"),
        ("numpy._core.multiarray", "scalar"),
        ("torch._utils", "_rebuild_device_tensor_from_numpy"),
        ("", ""),
        ("ü", "<b>"),
    ],
)
def test_name_that_a_state_dict_does_not_need_is_refused(
    assembler: "PickleAssembler", module: str, name: str
) -> None:
    error = refusal_of(whole(assembler.name(module, name) + b")R"))
    assert error.code == Code.PICKLE_GLOBAL
    assert "<" not in error.message
    assert "ü" not in error.message


def test_refused_name_is_told(assembler: "PickleAssembler") -> None:
    assert refusal_of(whole(assembler.name("argparse", "Namespace"))).found == "argparse.Namespace"


def test_nothing_is_run(assembler: "PickleAssembler", tmp_path: Path) -> None:
    call = assembler.name("posix", "mkdir") + assembler.tuple(assembler.text(str(tmp_path / "c")))
    assert refusal_of(whole(call + b"R")).code == Code.PICKLE_GLOBAL
    assert list(tmp_path.iterdir()) == []


def test_array_of_a_terabyte_is_not_allocated(assembler: "PickleAssembler") -> None:
    call = assembler.name("__builtin__", "bytearray") + assembler.tuple(assembler.number(2**40))
    assert refusal_of(whole(call + b"R")).code == Code.PICKLE_GLOBAL


def test_tensor_made_by_its_class_is_refused(assembler: "PickleAssembler") -> None:
    call = assembler.name("torch", "Tensor") + assembler.tuple(assembler.number(10**12))
    assert refusal_of(whole(call + b"R")).code == Code.PICKLE_GLOBAL


@pytest.mark.parametrize(
    "name", ["torch.nn.modules.linear Linear", "torchvision.models.resnet ResNet"]
)
def test_whole_module_is_told_apart(assembler: "PickleAssembler", name: str) -> None:
    error = refusal_of(whole(assembler.name(*name.split()) + b")\x81"))
    assert error.code == Code.WHOLE_MODULE
    assert "state_dict()" in error.message


@pytest.mark.parametrize(
    "opcodes",
    [
        pytest.param(b"X\x05\x00\x00\x00posixX\x05\x00\x00\x00mkdir\x93", id="STACK_GLOBAL"),
        pytest.param(b"(S'/x'\niposix\nmkdir\n", id="INST"),
        pytest.param(b"(cposix\nmkdir\nS'/x'\no", id="OBJ"),
        pytest.param(b"ccollections\nOrderedDict\n)\x81", id="NEWOBJ"),
        pytest.param(b")}\x92", id="NEWOBJ_EX"),
        pytest.param(b"\x82\x01", id="EXT1"),
        pytest.param(b"P0\n", id="PERSID"),
        pytest.param(b"\x8b\x00\x00\x00\x01", id="LONG4"),
        pytest.param(b"\x96" + struct.pack("<Q", 2**40), id="BYTEARRAY8"),
        pytest.param(b"\x8d" + struct.pack("<Q", 2**63), id="BINUNICODE8"),
        pytest.param(b"B\xff\xff\xff\xff", id="BINBYTES"),
        pytest.param(b"I999\n", id="INT"),
        pytest.param(b"\x8f", id="EMPTY_SET"),
        pytest.param(b"N0", id="POP"),
        pytest.param(b"N2", id="DUP"),
        pytest.param(b"\x80\x02", id="PROTO again"),
    ],
)
def test_opcode_that_a_state_dict_does_not_need_is_refused(opcodes: bytes) -> None:
    error = refusal_of(whole(opcodes))
    assert error.code in (Code.PICKLE_OPCODE, Code.PICKLE_GLOBAL)


@pytest.mark.parametrize("start", [b"\x80\x04\x95", b"\x80\x03", b"}", b"", b"\x80"])
def test_other_protocols_are_refused(start: bytes) -> None:
    assert refusal_of(start + b"}.").code == Code.PICKLE_OPCODE


@pytest.mark.parametrize(
    "opcodes",
    [
        pytest.param(b"R", id="empty stack"),
        pytest.param(b"t", id="no mark"),
        pytest.param(b"h\x00", id="memo never put"),
        pytest.param(b"q\x00", id="nothing to memoise"),
        pytest.param(b"K", id="number cut"),
        pytest.param(b"X\xff\x00\x00\x00a", id="text cut"),
        pytest.param(b"X\x01\x00\x00\x00\xff", id="text not UTF-8"),
        pytest.param(b"ctorch", id="name cut"),
        pytest.param(b"ctorch\nFloat", id="second line cut"),
        pytest.param(b"c" + b"a" * 300 + b"\nb\n", id="name too long"),
        pytest.param(b"NN", id="two results"),
        pytest.param(b"", id="no result"),
        pytest.param(b"(N", id="mark left open"),
        pytest.param(b"]N.", id="bytes after the end"),
        pytest.param(b"}(Nu", id="a key without a value"),
        pytest.param(b"NNa", id="append to no list"),
        pytest.param(b"](Ns", id="item of no dict"),
        pytest.param(b"N\x87", id="tuple of too few"),
    ],
)
def test_broken_pickle_is_refused(opcodes: bytes) -> None:
    assert refusal_of(whole(opcodes)).code == Code.PICKLE_DAMAGED


def test_cut_off_pickle_is_refused(assembler: "PickleAssembler") -> None:
    data = assembler.whole(assembler.dictionary(w=assembler.tensor()))
    for length in range(2, len(data)):
        assert refusal_of(data[:length]).code == Code.PICKLE_DAMAGED


def rebuild(assembler: "PickleAssembler", name: str, *arguments: bytes) -> bytes:
    return whole(assembler.name("torch._utils", name) + assembler.tuple(*arguments) + b"R")


def test_known_names_with_strange_arguments_are_refused(assembler: "PickleAssembler") -> None:
    empty, storage = assembler.ordered_dict, assembler.storage()
    hooked = assembler.ordered_dict + b"NNs"
    pair = assembler.tuple(b"K\x01")
    good = [storage, b"K\x00", pair, pair, b"\x89"]
    strange = [
        rebuild(assembler, "_rebuild_tensor_v2"),
        rebuild(assembler, "_rebuild_tensor_v2", *good),
        rebuild(assembler, "_rebuild_tensor_v2", *good, hooked),
        rebuild(assembler, "_rebuild_tensor_v2", *good, empty, empty),
        rebuild(assembler, "_rebuild_tensor_v2", b"N", *good[1:], empty),
        rebuild(assembler, "_rebuild_tensor_v2", *good[:2], b"]", pair, b"\x89", empty),
        rebuild(assembler, "_rebuild_parameter", b"N", b"\x88", empty),
        rebuild(assembler, "_rebuild_parameter", assembler.tensor(), b"\x88", hooked),
        rebuild(assembler, "_rebuild_parameter", assembler.tensor()),
        whole(assembler.name("torch", "FloatStorage") + b")R"),
        whole(assembler.name("collections", "OrderedDict") + b"]R"),
        whole(assembler.name("collections", "OrderedDict") + b"N\x85R"),
        whole(b"NNR"),
        whole(b"NQ"),
        whole(assembler.tuple(*[b"N"] * 5) + b"Q"),
        whole(assembler.tuple(assembler.text("storage"), *[b"N"] * 4) + b"Q"),
    ]
    assert {refusal_of(data).code for data in strange} == {Code.PICKLE_CALL.value}


@pytest.mark.parametrize(
    "state", [b"N", b"}NNs", b"}X\x01\x00\x00\x00xNs", b"}X\x08\x00\x00\x00__dict__Ns"]
)
def test_state_other_than_module_versions_is_refused(
    assembler: "PickleAssembler", state: bytes
) -> None:
    assert refusal_of(whole(assembler.ordered_dict + state + b"b")).code == Code.PICKLE_CALL


@pytest.mark.parametrize("target", [b"}", b"]", b"N"])
def test_state_of_anything_but_an_ordered_dict_is_refused(target: bytes) -> None:
    assert refusal_of(whole(target + b"}b")).code == Code.PICKLE_CALL


@pytest.mark.parametrize("key", ["../../..", "/etc/passwd", "", "0/../1", "１", "0" * 21])
def test_record_key_that_is_no_number_is_refused(assembler: "PickleAssembler", key: str) -> None:
    assert refusal_of(whole(assembler.storage(key))).code == Code.STORAGE_KEY


def test_sparse_tensor_is_told(assembler: "PickleAssembler") -> None:
    for name in ("_rebuild_sparse_tensor", "_rebuild_sparse_csr_tensor"):
        assert refusal_of(rebuild(assembler, name)).code == Code.TENSOR_SPARSE


def test_quantized_tensor_is_told(assembler: "PickleAssembler") -> None:
    assert refusal_of(rebuild(assembler, "_rebuild_qtensor")).code == Code.TENSOR_QUANTIZED
    assert refusal_of(whole(assembler.name("torch", "QInt8Storage"))).code == Code.TENSOR_QUANTIZED


@pytest.mark.parametrize(
    "opcodes",
    [
        pytest.param(b")" * 1_000_001, id="opcodes"),
        pytest.param(b"(" * 65, id="open marks"),
        pytest.param(b"}" * 200_001, id="dicts"),
        pytest.param(b"]" * 200_001, id="lists"),
        pytest.param(b"X\x01\x00\x01\x00", id="length of a text"),
        pytest.param(bytes(16 * 1024**2), id="bytes"),
    ],
)
def test_pickle_beyond_a_limit_is_refused(opcodes: bytes) -> None:
    assert refusal_of(whole(opcodes)).code == Code.PICKLE_TOO_LARGE


def test_tuples_nested_a_hundred_thousand_deep_are_harmless() -> None:
    assert isinstance(walk(whole(b")" + b"\x85" * 100_000)), tuple)


def test_dictionary_that_holds_itself_is_harmless() -> None:
    result = walk(whole(b"}q\x00K\x01h\x00s"))
    assert result.pairs[0][1] is result


def test_refusals_show_how_to_save_a_plain_state_dict(assembler: "PickleAssembler") -> None:
    for opcodes in (b"\x93", assembler.name("a", "b")):
        assert "torch.save(model.state_dict()" in refusal_of(whole(opcodes)).message
