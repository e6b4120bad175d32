"""Every code with which a checkpoint is refused, and the one way to make such a refusal."""

from enum import StrEnum

from kdcore.errors import CheckpointRejected

RESAVE_AS_SAFETENSORS = (
    "Load it where you trust it and save the weights again: safetensors.torch.save_file("
    '{k: v.contiguous().clone() for k, v in model.state_dict().items()}, "model.safetensors").'
)
RESAVE_STATE_DICT = (
    'Save the plain state dict: torch.save(model.state_dict(), "model.pth"); or, better, '
    "as safetensors."
)


class Code(StrEnum):
    """Stable names of refusals; the comment says when each is used."""

    # What the file is, told by its bytes.
    EMPTY = "checkpoint_is_empty"  # no bytes at all
    TOO_SHORT = "checkpoint_too_short"  # fewer bytes than any format has
    UNKNOWN_FORMAT = "checkpoint_format_unknown"
    PICKLE = "checkpoint_is_pickle"  # a bare pickle, also an old joblib or numpy one
    LEGACY_TORCH = "checkpoint_is_legacy_torch"  # torch's stacked pickles from before zip
    JOBLIB = "checkpoint_is_joblib"
    TAR = "checkpoint_is_tar"
    TORCHSCRIPT = "checkpoint_is_torchscript"
    EXPORTED_PROGRAM = "checkpoint_is_exported_program"  # .pt2
    ONNX = "checkpoint_is_onnx"
    KERAS = "checkpoint_is_keras"
    HDF5 = "checkpoint_is_hdf5"
    GGUF = "checkpoint_is_gguf"
    TFLITE = "checkpoint_is_tflite"
    NUMPY = "checkpoint_is_numpy"  # .npy or .npz
    COMPRESSED = "checkpoint_is_compressed"  # gzip, bzip2, xz, zstd, 7z, rar
    ENCRYPTED = "checkpoint_is_encrypted"  # a zip with a password
    HAS_CODE = "checkpoint_has_code"  # Python files beside the weights
    ARCHIVE = "checkpoint_is_archive"  # any other zip
    FOLDER = "checkpoint_is_folder"  # a folder without a safetensors index
    LFS_POINTER = "checkpoint_is_lfs_pointer"
    WEB_PAGE = "checkpoint_is_web_page"
    JSON = "checkpoint_is_json"  # also a safetensors index without its shards
    CHANGED = "checkpoint_changed"  # the file grew shorter while it was read

    # safetensors
    HEADER_TOO_LARGE = "safetensors_header_too_large"
    HEADER_PAST_END = "safetensors_header_past_end"
    HEADER_INVALID = "safetensors_header_invalid"  # not UTF-8, not JSON, wrong structure
    DUPLICATE_TENSOR = "duplicate_tensor"
    TOO_MANY_TENSORS = "too_many_tensors"
    NO_TENSORS = "no_tensors"
    TENSOR_NAME = "tensor_name_invalid"
    TENSOR_DTYPE = "tensor_dtype_unknown"
    TENSOR_SHAPE = "tensor_shape_invalid"  # a dimension that is no whole number from 1 up
    TENSOR_RANK = "tensor_rank_too_high"
    TENSOR_SIZE = "tensor_size_mismatch"  # shape and dtype need other bytes than are given
    TENSOR_OFFSETS = "tensor_offsets_invalid"  # not two rising whole numbers
    TENSORS_OVERLAP = "tensors_overlap"
    HOLE = "hole_between_tensors"
    TRAILING_BYTES = "trailing_bytes"
    TRUNCATED = "checkpoint_truncated"  # tensors past the end of the file
    INDEX_INVALID = "safetensors_index_invalid"
    SHARD_NAME = "shard_name_invalid"
    SHARD_MISSING = "shard_missing"
    SHARD_MISMATCH = "shard_mismatch"  # index and shards disagree on where a tensor is

    # zip and torch's layout in it
    ZIP_DAMAGED = "zip_damaged"
    ZIP_TOO_LARGE = "zip_directory_too_large"
    ZIP_DUPLICATE = "zip_duplicate_entry"
    ZIP_DISAGREES = "zip_headers_disagree"
    ZIP_OVERLAP = "zip_entries_overlap"
    ZIP_COMPRESSED = "zip_entry_compressed"
    ZIP_LAYOUT = "zip_layout_unexpected"
    BYTE_ORDER = "byte_order_unsupported"
    PICKLE_TOO_LARGE = "pickle_too_large"
    PICKLE_DAMAGED = "pickle_damaged"
    PICKLE_OPCODE = "pickle_opcode_refused"
    PICKLE_GLOBAL = "pickle_global_refused"
    PICKLE_CALL = "pickle_call_refused"  # a known name with arguments it never has
    WHOLE_MODULE = "checkpoint_is_whole_module"
    TENSOR_SPARSE = "tensor_is_sparse"
    TENSOR_QUANTIZED = "tensor_is_quantized"
    NO_STATE_DICT = "no_state_dict"
    AMBIGUOUS_STATE_DICT = "state_dict_ambiguous"
    STORAGE_KEY = "storage_key_invalid"
    STORAGE_MISSING = "storage_missing"
    STORAGE_SIZE = "storage_size_mismatch"
    STORAGE_CONFLICT = "storage_conflict"  # one record described in two ways
    TENSOR_STRIDE = "tensor_stride_invalid"  # elements of one tensor share bytes
    TENSOR_PAST_STORAGE = "tensor_past_storage"
    TENSORS_SHARE = "tensors_share_too_much"  # the tensors are far larger than the file

    # contents against the architecture
    ARCHITECTURE_TOO_LARGE = "architecture_too_large"
    TENSOR_MISSING = "tensor_missing"
    TENSOR_UNEXPECTED = "tensor_unexpected"
    SHAPE_MISMATCH = "tensor_shape_mismatch"
    DTYPE_MISMATCH = "tensor_dtype_mismatch"
    NOT_FINITE = "tensor_not_finite"
    LOGITS_NOT_FINITE = "logits_not_finite"
    FORWARD_FAILED = "forward_failed"
    FORWARD_TOO_SLOW = "forward_too_slow"
    CLASSES_NOT_FOUND = "num_classes_not_found"


def refusal(
    code: Code,
    message: str,
    *,
    tensor: str | None = None,
    expected: str | None = None,
    found: str | None = None,
) -> CheckpointRejected:
    """Make the error for `code`; `message` is ours, never a library's, and says what to do."""
    return CheckpointRejected(code.value, message, tensor=tensor, expected=expected, found=found)


def shown_number(number: int) -> str:
    """Return a stranger's number as text, without the thousands of digits it may have."""
    return str(number) if abs(number) < 10**18 else "more than 10^18"
