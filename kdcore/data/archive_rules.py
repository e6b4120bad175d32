"""What each entry of a stranger's zip must satisfy before any is unpacked."""

import itertools
import re
import stat
import unicodedata
from collections.abc import Iterable, Sequence

from kdcore.data.limits import ArchiveLimits
from kdcore.data.rejection import shown
from kdcore.data.streams import too_compressed
from kdcore.data.zip_end import damaged
from kdcore.data.zip_records import FLAG_ENCRYPTED, CentralRecord
from kdcore.errors import DatasetRejected

DEFLATED = 8
_STORED = 0
_METHOD_AES = 99
_NESTED_SUFFIXES = (".zip", ".tar", ".tgz", ".tar.gz", ".7z", ".rar", ".bz2", ".xz", ".zst")
_NESTED_MAGIC = (
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"7z\xbc\xaf\x27\x1c",
    b"Rar!\x1a\x07",
    b"BZh",
    b"\xfd7zXZ\x00",
    b"\x28\xb5\x2f\xfd",
)
_TAR_MAGIC_OFFSET = 257
_SLASH = re.compile("/")


def refuse_nested_bytes(name: str, first_bytes: bytes) -> None:
    """Refuse a file that is itself an archive, by its first bytes.

    Raises:
        DatasetRejected: `archive_nested`.
    """
    is_tar = first_bytes[_TAR_MAGIC_OFFSET : _TAR_MAGIC_OFFSET + 5] == b"ustar"
    if is_tar or first_bytes.startswith(_NESTED_MAGIC):
        raise _nested(name)


def _nested(name: str) -> DatasetRejected:
    return DatasetRejected(
        "archive_nested",
        f"{shown(name)} is an archive inside the archive. Unpack it and zip its content.",
        entries=[shown(name)],
    )


def check_name(record: CentralRecord, limits: ArchiveLimits) -> None:
    """Check that a name is plain, relative, short, shallow, and no archive's.

    Raises:
        DatasetRejected: `archive_name_too_long`, `archive_name_unsafe`, `archive_nested`.
    """
    name = record.name
    parts = name.removesuffix("/").split("/")
    if len(record.raw_name) > limits.max_name_bytes or len(parts) > limits.max_depth:
        raise DatasetRejected(
            "archive_name_too_long",
            f"{shown(name)} is too long or too deep: names have at most {limits.max_name_bytes} "
            f"bytes and {limits.max_depth} levels. Shorten it.",
            entries=[shown(name)],
        )
    unsafe = (
        "\\" in name
        or any(part in ("", ".", "..") for part in parts)
        or (len(parts[0]) >= 2 and parts[0][1] == ":")
        or (
            not name.isprintable()
            and any(unicodedata.category(character) == "Cc" for character in name)
        )
    )
    if unsafe:
        raise DatasetRejected(
            "archive_name_unsafe",
            f"{shown(name)} is not a plain relative name: no leading slash, drive, backslash, "
            "'.', '..' or control character is accepted. Make the zip again from inside the "
            "dataset's folder.",
            entries=[shown(name)],
        )
    if name.casefold().endswith(_NESTED_SUFFIXES):
        raise _nested(name)


def check_kind(record: CentralRecord) -> None:
    """Check that a record is a plain file or folder, packed in a way we read.

    Raises:
        DatasetRejected: `archive_has_link`, `archive_encrypted`,
            `archive_compression_unsupported`.
    """
    entries = [shown(record.name)]
    kind = stat.S_IFMT(record.unix_mode)
    is_folder = record.name.endswith("/")
    if kind not in (0, stat.S_IFDIR if is_folder else stat.S_IFREG):
        raise DatasetRejected(
            "archive_has_link",
            f"{entries[0]} is a link or a special file. Zip the files themselves (without -y).",
            entries=entries,
        )
    if record.flags & FLAG_ENCRYPTED or record.method == _METHOD_AES:
        raise DatasetRejected(
            "archive_encrypted",
            "The zip is encrypted. Make it again without a password.",
            entries=entries,
        )
    if record.method not in (_STORED, DEFLATED):
        raise DatasetRejected(
            "archive_compression_unsupported",
            f"{entries[0]} is packed with method {record.method}; only stored and deflated "
            "entries are read. Make the zip again with standard compression.",
            entries=entries,
        )


def check_size(record: CentralRecord, total_bytes: int, limits: ArchiveLimits) -> None:
    """Check what a record says of its size; `total_bytes` counts up to and with this one.

    Raises:
        DatasetRejected: `archive_too_large`, `archive_sizes_lie`, `archive_ratio`.
    """
    if total_bytes > limits.max_total_bytes:
        raise DatasetRejected(
            "archive_too_large",
            f"The zip unpacks to more than {limits.max_total_bytes} bytes. Upload a smaller one.",
            entries=[shown(record.name)],
        )
    if (record.method == _STORED and record.packed_bytes != record.unpacked_bytes) or (
        record.name.endswith("/") and record.unpacked_bytes
    ):
        raise DatasetRejected(
            "archive_sizes_lie",
            f"The sizes of {shown(record.name)} contradict each other. "
            "Make the zip again with another tool.",
            entries=[shown(record.name)],
        )
    ratio_limit = max(limits.ratio_free_bytes, record.packed_bytes * limits.max_ratio)
    if record.method == DEFLATED and record.unpacked_bytes > ratio_limit:
        raise too_compressed(record.name)


def check_extents(extents: list[tuple[int, int, str]]) -> None:
    """Check that entries, given as begin, end and name, lie one after another from the start.

    Raises:
        DatasetRejected: `archive_damaged`, `archive_entries_overlap`.
    """
    if not extents:
        return
    extents.sort()
    if extents[0][0] != 0:
        raise damaged("it does not begin with its first entry")
    for (_, end, name), (start, _, next_name) in itertools.pairwise(extents):
        if start < end:
            raise DatasetRejected(
                "archive_entries_overlap",
                f"{shown(name)} and {shown(next_name)} share bytes of the zip. "
                "Make the zip again with another tool.",
                entries=[shown(name), shown(next_name)],
            )


def check_collisions(files: Sequence[str], folders: Iterable[str]) -> None:
    """Check that no two names are the same to a system that ignores case or composition.

    Raises:
        DatasetRejected: `archive_names_collide`.
    """
    seen: dict[str, str] = {}
    all_folders = set(folders)
    for name in files:
        all_folders.update(name[: at.start()] for at in _SLASH.finditer(name))
    for name in (*files, *sorted(all_folders)):
        key = unicodedata.normalize("NFC", name).casefold()
        if key in seen:
            raise DatasetRejected(
                "archive_names_collide",
                f"{shown(seen[key])} and {shown(name)} are one name on many systems. Rename one.",
                entries=[shown(seen[key]), shown(name)],
            )
        seen[key] = name
