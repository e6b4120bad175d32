"""Tell what a file is by its first bytes, never by its name, and refuse what is not weights."""

import re
from typing import Literal

from kdcore.checkpoints.codes import RESAVE_AS_SAFETENSORS, RESAVE_STATE_DICT, Code, refusal
from kdcore.checkpoints.limits import MAX_HEADER_BYTES
from kdcore.checkpoints.reading import OpenFile
from kdcore.errors import CheckpointRejected

HEAD_BYTES = 4096
_SMALLEST_FILE = 8

# The number that torch's stacked pickles begin with, as pickle writes it.
_LEGACY_TORCH = re.compile(rb"\x80.\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", re.DOTALL)
_PICKLE = re.compile(rb"\x80[\x02-\x05].", re.DOTALL)
# Protocols 0 and 1 have no header; these are how a class, dict, list or tuple begins in them.
_OLD_PICKLE = re.compile(
    rb"(c[A-Za-z_][\w.]*\n[A-Za-z_][\w.]*\n|\(d|\(l|\(i[A-Za-z_]|\(c[A-Za-z_]|[\]})]q|\(F|\(I|\(S')"
)
_ONNX = re.compile(rb"\x08[\x01-\x3f][\x12\x1a\x22\x28\x32\x3a\x42\x72]")

_COMPRESSED = (
    b"\x1f\x8b",  # gzip
    b"BZh",  # bzip2
    b"\xfd7zXZ\x00",  # xz
    b"\x28\xb5\x2f\xfd",  # zstd
    b"\x04\x22\x4d\x18",  # lz4
    b"7z\xbc\xaf\x27\x1c",
    b"Rar!\x1a\x07",
)

_WHAT: dict[Code, tuple[str, str]] = {
    Code.PICKLE: ("a bare pickle, which can run code when it is loaded", RESAVE_AS_SAFETENSORS),
    Code.LEGACY_TORCH: (
        "in torch's old format of stacked pickles, which can run code when it is loaded",
        RESAVE_AS_SAFETENSORS,
    ),
    Code.JOBLIB: ("a joblib dump, which can run code when it is loaded", RESAVE_AS_SAFETENSORS),
    Code.TAR: ("a tar archive", RESAVE_AS_SAFETENSORS),
    Code.TORCHSCRIPT: ("a TorchScript program", RESAVE_AS_SAFETENSORS),
    Code.EXPORTED_PROGRAM: ("an exported program (.pt2)", RESAVE_AS_SAFETENSORS),
    Code.ONNX: (
        "an ONNX graph; weights are taken under their PyTorch names",
        RESAVE_AS_SAFETENSORS,
    ),
    Code.KERAS: ("a Keras model; only PyTorch networks are taken", RESAVE_AS_SAFETENSORS),
    Code.HDF5: ("an HDF5 file; only PyTorch networks are taken", RESAVE_AS_SAFETENSORS),
    Code.GGUF: ("a GGUF file of a language model", "Upload an image classifier as safetensors."),
    Code.TFLITE: ("a TensorFlow Lite model", RESAVE_AS_SAFETENSORS),
    Code.NUMPY: (
        "a numpy array file",
        "If these are images, upload them as a dataset; weights go in as safetensors.",
    ),
    Code.COMPRESSED: ("compressed", "Unpack it and upload the weights file itself."),
    Code.ENCRYPTED: ("a zip with a password", "Upload the weights file without a password."),
    Code.HAS_CODE: (
        "code with weights beside it; uploaded code is never run",
        "Upload the weights file alone and name a known architecture.",
    ),
    Code.ARCHIVE: ("an archive of other files", "Upload the weights file itself."),
    Code.FOLDER: (
        "a folder without a safetensors index",
        "Give the one weights file, or the folder of shards with its *.safetensors.index.json.",
    ),
    Code.LFS_POINTER: (
        "only a Git LFS pointer, not the weights it points to",
        "Run `git lfs pull` and upload the real file.",
    ),
    Code.WEB_PAGE: (
        "a web page, not weights",
        "Open the link in a browser, download the file itself and upload that.",
    ),
    Code.JSON: ("JSON text, not weights", "Upload the .safetensors file itself."),
    Code.WHOLE_MODULE: ("a whole pickled module, not its weights", RESAVE_STATE_DICT),
}


def format_refusal(code: Code) -> CheckpointRejected:
    """Make the refusal of a whole format: what the file is, and the line that mends it."""
    what, advice = _WHAT[code]
    return refusal(
        code, f"The file is {what}. {advice}", expected="safetensors or a zip .pt/.pth state dict"
    )


def sniff(file: OpenFile) -> Literal["safetensors", "zip"]:
    """Tell the format by the bytes.

    Raises:
        CheckpointRejected: for every format that is not taken, each with a code of its own.
    """
    head = file.read_up_to(0, HEAD_BYTES)
    if not head:
        raise refusal(Code.EMPTY, "The file is empty. Upload the weights file again.")
    if len(head) < _SMALLEST_FILE:
        raise refusal(
            Code.TOO_SHORT, f"The file has only {len(head)} bytes. Upload the weights file again."
        )
    header_length = int.from_bytes(head[:8], "little")
    opens_with_brace = head[8:9] == b"{"
    # First of all: the length bytes of a good safetensors file may look like any other magic.
    if opens_with_brace and header_length <= MAX_HEADER_BYTES:
        return "safetensors"
    if head.startswith(b"PK\x03\x04"):
        return "zip"
    code = _foreign_format(head, file)
    if code is not None:
        raise format_refusal(code)
    if opens_with_brace or header_length <= file.size:
        return "safetensors"
    raise refusal(
        Code.UNKNOWN_FORMAT,
        f"The file is of no format that is known here. {RESAVE_AS_SAFETENSORS}",
        expected="safetensors or a zip .pt/.pth state dict",
    )


def _foreign_format(head: bytes, file: OpenFile) -> Code | None:
    start = head.lstrip()[:64].lower()
    is_joblib = b"joblib" in head
    checks = (
        (head.startswith(b"PK"), Code.ARCHIVE),
        (head.startswith(b"GGUF"), Code.GGUF),
        (head.startswith(b"\x93NUMPY"), Code.NUMPY),
        (_is_hdf5(head), Code.HDF5),
        (head[4:8] == b"TFL3", Code.TFLITE),
        (head.startswith(_COMPRESSED), Code.COMPRESSED),
        (head[:2] in (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"), Code.JOBLIB),
        (head[257:262] == b"ustar", Code.TAR),
        (_LEGACY_TORCH.match(head) is not None, Code.LEGACY_TORCH),
        (_PICKLE.match(head) is not None, Code.JOBLIB if is_joblib else Code.PICKLE),
        (head.startswith(b"version https://git-lfs"), Code.LFS_POINTER),
        (start.startswith((b"<!doctype", b"<html", b"<?xml")), Code.WEB_PAGE),
        (start.startswith((b'{"', b"{\n", b"{\r", b"{ ", b"[")), Code.JSON),
        (_ONNX.match(head) is not None and _is_protobuf(head, file.size), Code.ONNX),
        (_is_old_pickle(head, file), Code.PICKLE),
    )
    return next((code for matches, code in checks if matches), None)


def _is_hdf5(head: bytes) -> bool:
    # HDF5 may have a block of the user's own before it, of 512 bytes or a power of two above.
    magic = b"\x89HDF\r\n\x1a\n"
    return any(head[offset : offset + 8] == magic for offset in (0, 512, 1024, 2048))


def _is_old_pickle(head: bytes, file: OpenFile) -> bool:
    return _OLD_PICKLE.match(head) is not None and file.read(file.size - 1, 1) == b"."


def _is_protobuf(head: bytes, size: int) -> bool:
    """Whether the second field of a message fits the file, which random bytes seldom do."""
    if head[2] == 0x28:  # a plain number, as ONNX's model_version is
        return True
    length = 0
    for shift, byte in enumerate(head[3:8]):
        length |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return 4 + shift + length <= size
    return False
