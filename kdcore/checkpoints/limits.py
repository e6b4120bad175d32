"""How large a foreign checkpoint may be, before anything is allocated for it."""

import re

MIB = 1024**2

MAX_HEADER_BYTES = 16 * MIB  # a safetensors header or index
MAX_HEADER_MARKS = 500_000  # brackets or commas; a tensor has up to 12, metadata may have some
MAX_TENSORS = 20_000
MAX_RANK = 8
MAX_NAME_LENGTH = 512
TENSOR_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,512}")

MAX_SHARDS = 1_000
MAX_FOLDER_ENTRIES = 10_000

MAX_ZIP_ENTRIES = MAX_TENSORS + 16
MAX_ZIP_DIRECTORY_BYTES = 16 * MIB
MAX_ZIP_NAME_LENGTH = 512

MAX_PICKLE_BYTES = 16 * MIB
MAX_PICKLE_OPCODES = 1_000_000  # torch writes 45 for a tensor
MAX_PICKLE_CONTAINERS = 200_000  # lists and dicts; torch writes 2 for a tensor
MAX_PICKLE_DEPTH = 64  # open brackets; a checkpoint with an optimizer has 8
MAX_PICKLE_STRING_BYTES = 65_536

# Tied weights are stored once and named twice; more than this is an amplification attack.
MAX_TENSOR_BYTES_PER_FILE_BYTE = 4

MAX_FLOPS = 4_000_000_000_000  # of one image; the largest torchvision classifier needs half
FORWARD_TIMEOUT_SECONDS = 60.0


def is_tensor_name(name: str) -> bool:
    """Whether `name` is one that we take: bounded, plain characters, no `..`."""
    return TENSOR_NAME.fullmatch(name) is not None and ".." not in name
