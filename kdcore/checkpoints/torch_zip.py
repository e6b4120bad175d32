"""The zip that `torch.save` writes: its layout, its records, and where each tensor lies in them."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from kdcore.checkpoints import limits
from kdcore.checkpoints.codes import RESAVE_STATE_DICT, Code, refusal, shown_number
from kdcore.checkpoints.entries import Place, TensorEntry
from kdcore.checkpoints.formats import format_refusal
from kdcore.checkpoints.pickle_symbols import Storage, Tensor
from kdcore.checkpoints.pickle_walk import too_large
from kdcore.checkpoints.reading import OpenFile
from kdcore.checkpoints.state_dict_pickle import read_state_dict
from kdcore.checkpoints.strided_views import place_view
from kdcore.checkpoints.zip_directory import STORED, ZipDirectory, data_offset, read_directory

_TABLE = "data.pkl"
_RECORD = re.compile(r"data\.pkl|byteorder|version|data/[0-9]{1,20}|\.[A-Za-z0-9_./-]+")


class _Records:
    """Where the named records of one zip lie: name inside the root → (offset, size)."""

    def __init__(self, places: dict[str, tuple[int, int]]) -> None:
        self._places = places

    def read(self, file: OpenFile, name: str, *, largest: int) -> bytes | None:
        """Return a small record's bytes, None if there is none or it is larger."""
        offset, size = self._places.get(name, (0, largest + 1))
        return file.read(offset, size) if size <= largest else None

    def storage_offset(self, tensor: str, storage: Storage) -> int:
        """Return where a storage's bytes begin, after checking that it is as long as claimed."""
        place = self._places.get(f"data/{storage.key}")
        if place is None:
            raise refusal(
                Code.STORAGE_MISSING,
                f"The bytes of tensor {tensor} are not in the file. {RESAVE_STATE_DICT}",
                tensor=tensor,
            )
        offset, size = place
        if storage.num_elements * storage.dtype.itemsize != size:
            raise refusal(
                Code.STORAGE_SIZE,
                f"The bytes of tensor {tensor} are more or fewer than the file says. "
                f"{RESAVE_STATE_DICT}",
                tensor=tensor,
                expected=f"{size} bytes",
                found=f"{shown_number(storage.num_elements)} elements of "
                f"{storage.dtype.itemsize} bytes",
            )
        return offset


def read_torch_zip(file: OpenFile) -> dict[str, TensorEntry]:
    """Check a zip that torch.save wrote and return its tensors by name, none of them read.

    Raises:
        CheckpointRejected: for any other zip, and for every number that does not fit the file.
    """
    directory = read_directory(file)
    _refuse_other_formats(directory)
    records = _records(file, directory)
    if records.read(file, "byteorder", largest=16) not in (None, b"little"):
        raise refusal(
            Code.BYTE_ORDER,
            "The file was saved on a big-endian machine. Save it again as safetensors, which is "
            "always little-endian.",
            expected="little",
        )
    table = records.read(file, _TABLE, largest=limits.MAX_PICKLE_BYTES)
    if table is None:
        raise too_large()
    return _entries(read_state_dict(table), records, file.size)


def _refuse_other_formats(directory: ZipDirectory) -> None:
    """Refuse the zips that are known to be something else, each by its own code."""
    if any(entry.is_encrypted for entry in directory.entries):
        raise format_refusal(Code.ENCRYPTED)
    paths = [PurePosixPath(entry.name) for entry in directory.entries]
    names = {path.name for path in paths}
    if "constants.pkl" in names or any("code" in path.parts[:2] for path in paths):
        raise format_refusal(Code.TORCHSCRIPT)
    if names & {"archive_format", "serialized_exported_program.json"}:
        raise format_refusal(Code.EXPORTED_PROGRAM)
    if "model.weights.h5" in names:
        raise format_refusal(Code.KERAS)
    if any(path.suffix == ".py" for path in paths):
        raise format_refusal(Code.HAS_CODE)
    if paths and all(path.suffix == ".npy" for path in paths):
        raise format_refusal(Code.NUMPY)
    if _TABLE not in names:
        raise format_refusal(Code.ARCHIVE)


def _records(file: OpenFile, directory: ZipDirectory) -> _Records:
    """Locate every record, after checking names, sizes and that none shares bytes."""
    roots = {entry.name.partition("/")[0] for entry in directory.entries}
    places: dict[str, tuple[int, int]] = {}
    end = 0
    for entry in sorted(directory.entries, key=lambda entry: entry.header_offset):
        name = entry.name.partition("/")[2]
        if len(roots) != 1 or _RECORD.fullmatch(name) is None or ".." in name:
            raise refusal(
                Code.ZIP_LAYOUT,
                "The zip holds other files than torch.save writes: one folder with data.pkl and "
                f"data/0, data/1 and so on. {RESAVE_STATE_DICT}",
            )
        if entry.method != STORED or entry.compressed_size != entry.size:
            raise refusal(
                Code.ZIP_COMPRESSED,
                "The zip was compressed after torch.save wrote it. Upload the file as torch.save "
                "wrote it, or as safetensors.",
            )
        offset = data_offset(file, entry)
        if entry.header_offset < end or offset + entry.size > directory.offset:
            raise refusal(Code.ZIP_OVERLAP, f"Files in the zip share bytes. {RESAVE_STATE_DICT}")
        end = offset + entry.size
        places[name] = (offset, entry.size)
    if _TABLE not in places:
        raise format_refusal(Code.ARCHIVE)
    return _Records(places)


def _entries(
    tensors: Mapping[str, Tensor], records: _Records, file_size: int
) -> dict[str, TensorEntry]:
    storages: dict[str, Storage] = {}
    entries: dict[str, TensorEntry] = {}
    total = 0
    for name, tensor in tensors.items():
        storage = tensor.storage
        if storages.setdefault(storage.key, storage) != storage:
            raise refusal(
                Code.STORAGE_CONFLICT,
                f"Tensor {name} and another give one run of bytes two types or lengths. "
                f"{RESAVE_STATE_DICT}",
                tensor=name,
            )
        base = records.storage_offset(name, storage)
        entries[name] = _entry(name, tensor, base)
        total += max(entries[name].nbytes, entries[name].place.span_bytes)
        if total > limits.MAX_TENSOR_BYTES_PER_FILE_BYTE * file_size:
            raise refusal(
                Code.TENSORS_SHARE,
                "The tensors are together far larger than the file, because they share their "
                "bytes. Save every tensor once.",
                tensor=name,
            )
    return entries


def _entry(name: str, tensor: Tensor, base: int) -> TensorEntry:
    view = place_view(name, tensor)
    itemsize = tensor.storage.dtype.itemsize
    place = Place(base + view.offset * itemsize, view.span * itemsize, view.strides)
    return TensorEntry(tensor.storage.dtype, view.shape, view.num_elements * itemsize, place)
