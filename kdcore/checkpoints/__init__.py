"""Read strangers' weights without ever unpickling them, and write our own.

Every code with which a file is refused is listed in `kdcore.checkpoints.codes.Code`, every
limit in `kdcore.checkpoints.limits`.
"""

from kdcore.checkpoints.codes import Code
from kdcore.checkpoints.entries import TensorEntry
from kdcore.checkpoints.foreign import ForeignCheckpoint, ForeignFormat, open_checkpoint
from kdcore.checkpoints.own_files import read_safetensors, sha256_of, write_safetensors
from kdcore.checkpoints.validate import infer_num_classes, load_foreign_weights

__all__ = [
    "Code",
    "ForeignCheckpoint",
    "ForeignFormat",
    "TensorEntry",
    "infer_num_classes",
    "load_foreign_weights",
    "open_checkpoint",
    "read_safetensors",
    "sha256_of",
    "write_safetensors",
]
