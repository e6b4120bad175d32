"""Files by the byte: safetensors, torch's zip and its pickle, good ones and broken ones."""

import io
import json
import resource
import struct
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from kdcore.checkpoints import Code, open_checkpoint
from kdcore.errors import CheckpointRejected

_MAX_GROWTH_KIB = 512 * 1024


class PickleAssembler:
    """Pickle opcodes put together by hand, protocol 2, as torch.save writes them."""

    def text(self, value: str) -> bytes:
        data = value.encode()
        return b"X" + struct.pack("<I", len(data)) + data

    def number(self, value: int) -> bytes:
        if 0 <= value < 256:
            return b"K" + bytes([value])
        data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        return b"\x8a" + bytes([len(data)]) + data

    def tuple(self, *items: bytes) -> bytes:
        return b"(" + b"".join(items) + b"t"

    def name(self, module: str, name: str) -> bytes:
        return f"c{module}\n{name}\n".encode()

    @property
    def ordered_dict(self) -> bytes:
        return self.name("collections", "OrderedDict") + b")R"

    def storage(self, key: str = "0", *, kind: str = "FloatStorage", count: int = 4) -> bytes:
        return (
            self.tuple(
                self.text("storage"),
                self.name("torch", kind),
                self.text(key),
                self.text("cpu"),
                self.number(count),
            )
            + b"Q"
        )

    def tensor(
        self,
        *,
        storage: bytes | None = None,
        offset: int = 0,
        shape: Sequence[int] = (2, 2),
        strides: Sequence[int] = (2, 1),
        hooks: bytes | None = None,
    ) -> bytes:
        return (
            self.name("torch._utils", "_rebuild_tensor_v2")
            + self.tuple(
                storage or self.storage(),
                self.number(offset),
                self.tuple(*map(self.number, shape)),
                self.tuple(*map(self.number, strides)),
                b"\x89",
                hooks or self.ordered_dict,
            )
            + b"R"
        )

    def dictionary(self, **items: bytes) -> bytes:
        return b"}(" + b"".join(self.text(key) + value for key, value in items.items()) + b"u"

    def whole(self, root: bytes) -> bytes:
        return b"\x80\x02" + root + b"."


@pytest.fixture
def assembler() -> PickleAssembler:
    return PickleAssembler()


@pytest.fixture
def safetensors_bytes() -> Callable[..., bytes]:
    """Put a header (an object, or raw bytes) and data together, without checking either."""

    def build(header: Any, data: bytes = b"") -> bytes:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text + data

    return build


@pytest.fixture
def zip_bytes() -> Callable[..., bytes]:
    """Zip the entries as they are, stored unless told."""

    def build(entries: dict[str, bytes], *, compression: int = zipfile.ZIP_STORED) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", compression) as archive:
            for name, data in entries.items():
                archive.writestr(name, data)
        return buffer.getvalue()

    return build


@pytest.fixture
def torch_zip_bytes(
    zip_bytes: Callable[..., bytes], assembler: PickleAssembler
) -> Callable[..., bytes]:
    """Build the zip that torch.save writes; the default holds one good 2×2 float32 tensor `w`."""

    def build(root: bytes | None = None, **records: bytes) -> bytes:
        table = assembler.whole(root or assembler.dictionary(w=assembler.tensor()))
        content = {"data/0": bytes(16), "byteorder": b"little", "version": b"3\n"} | records
        entries = {"archive/data.pkl": table}
        return zip_bytes(entries | {f"archive/{name}": data for name, data in content.items()})

    return build


@pytest.fixture
def saved_by_torch() -> Callable[[object], bytes]:
    def save(value: object, **options: Any) -> bytes:
        buffer = io.BytesIO()
        torch.save(value, buffer, **options)
        return buffer.getvalue()

    return save


@pytest.fixture
def upload(tmp_path: Path) -> Callable[[bytes], Path]:
    """Lay bytes where an upload would be, under a name that says nothing."""

    def write(data: bytes) -> Path:
        path = tmp_path / "upload"
        path.write_bytes(data)
        return path

    return write


@pytest.fixture
def refused_path() -> Callable[[Path], CheckpointRejected]:
    """Open what must be refused and check what holds for every refusal."""

    def open_it(path: Path) -> CheckpointRejected:
        files = sorted(path.parent.iterdir())
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(CheckpointRejected) as caught:
            open_checkpoint(path)
        error = caught.value
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < _MAX_GROWTH_KIB
        assert sorted(path.parent.iterdir()) == files
        assert error.code in set(Code)
        for text in (error.message, error.expected or "", error.found or "", error.tensor or ""):
            assert len(text) < 2000
            assert str(path.parent) not in text
            assert "weights_only" not in text
            assert "<" not in text
        assert error.message.endswith(".")
        return error

    return open_it


@pytest.fixture
def refused(
    upload: Callable[[bytes], Path], refused_path: Callable[[Path], CheckpointRejected]
) -> Callable[[bytes], CheckpointRejected]:
    """Upload bytes that must be refused, and return the refusal."""
    return lambda data: refused_path(upload(data))
