"""Object storage over obstore: a local folder, memory, S3, GCS or Azure, chosen by URL alone."""

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class ObjectHead:
    """What is known of an object without reading it."""

    key: str
    size_bytes: int
    etag: str | None


class ObjectStore:
    """Objects by key. An object is visible whole or not at all; bytes stream in chunks.

    Every method raises `ObjectNotFound` for a key without an object where it needs one, and
    `StorageUnavailable` when storage fails; no vendor's error gets out. Safe to share by threads.
    """

    @classmethod
    def from_url(cls, url: str) -> "ObjectStore":
        """Open `file:///folder` (made if missing), `memory://`, `s3://bucket/prefix`, and so on."""
        raise NotImplementedError

    def put_file(self, key: str, path: Path) -> None:
        """Store a file's bytes, replacing an object of this key."""
        raise NotImplementedError

    def put_bytes(self, key: str, data: bytes) -> None:
        """Store a few bytes, replacing an object of this key."""
        raise NotImplementedError

    def put_stream(self, key: str, chunks: Iterable[bytes]) -> None:
        """Store chunks as they come; if the iterable raises, nothing is stored and it is raised."""
        raise NotImplementedError

    async def put_stream_async(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        """Do as `put_stream`, for a request body that arrives asynchronously."""
        raise NotImplementedError

    def head(self, key: str) -> ObjectHead:
        """Read size and ETag."""
        raise NotImplementedError

    def exists(self, key: str) -> bool:
        """Tell whether there is an object of this key."""
        raise NotImplementedError

    def iter_bytes(
        self, key: str, *, start: int = 0, end: int | None = None, chunk_bytes: int = CHUNK_BYTES
    ) -> Iterator[bytes]:
        """Read bytes `start` to `end` (exclusive; the end of the object if None) in chunks.

        The object is looked up when this is called, not at the first chunk.
        """
        raise NotImplementedError

    def get_bytes(self, key: str, *, start: int = 0, end: int | None = None) -> bytes:
        """Read a small object, or a small range of one, at once."""
        raise NotImplementedError

    def download(self, key: str, path: Path) -> str:
        """Write an object to a local file, whole or not at all, and return its sha256."""
        raise NotImplementedError

    def delete(self, key: str) -> None:
        """Delete an object; one that is not there is fine."""
        raise NotImplementedError

    def delete_prefix(self, prefix: str) -> int:
        """Delete all objects under `prefix/`, and return how many there were."""
        raise NotImplementedError

    def list_keys(self, prefix: str) -> Iterator[str]:
        """List the keys under `prefix/`, in no order."""
        raise NotImplementedError

    def sign_get(self, key: str, *, expires_seconds: int) -> str | None:
        """Make a URL that reads this object for a while; None where storage cannot sign."""
        raise NotImplementedError

    def sign_put(self, key: str, *, expires_seconds: int) -> str | None:
        """Make a URL that writes this object for a while; None where storage cannot sign."""
        raise NotImplementedError
