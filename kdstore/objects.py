"""Object storage over obstore: a local folder, memory, S3, GCS or Azure, chosen by URL alone."""

import hashlib
import os
import secrets
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, LocalStore, MemoryStore, S3Store, from_url

from kdstore.errors import ObjectNotFound, StorageUnavailable

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

CHUNK_BYTES = 1024 * 1024
_MULTIPART_BYTES = 5 * 1024 * 1024  # the smallest part that S3 takes
_LOCAL_BYTES = 512 * 1024
_LISTED_AT_ONCE = 500

# Storage that drops a connection or answers 5xx is asked again, for half a minute at most. A wait
# is drawn from between the first one and three times the one before; ten last about 20 seconds.
# A large object may take long, as long as some of it keeps coming.
_CLIENT: "ClientConfig" = {
    "allow_http": True,  # only an endpoint that the operator wrote as http:// makes use of it
    "connect_timeout": timedelta(seconds=5),
    "read_timeout": timedelta(seconds=20),
    "timeout": timedelta(hours=1),
}
_RETRIES: "RetryConfig" = {
    "backoff": {
        "init_backoff": timedelta(seconds=0.2),
        "max_backoff": timedelta(seconds=5),
        "base": 3,
    },
    "max_retries": 10,
    "retry_timeout": timedelta(seconds=30),
}

# Names of HTTP headers, and their values.
Attributes = dict[str, str]

_Store = AzureStore | GCSStore | LocalStore | MemoryStore | S3Store


@dataclass(frozen=True)
class ObjectHead:
    """What is known of an object without reading it."""

    key: str
    size_bytes: int
    etag: str | None


@dataclass(frozen=True)
class ListedObject:
    """What a listing tells of an object; `modified_at` is aware, by the storage's clock."""

    key: str
    size_bytes: int
    modified_at: datetime


class ObjectStore:
    """Objects by key. An object is visible whole or not at all; bytes stream in chunks.

    Every method raises `ObjectNotFound` for a key without an object where it needs one, and
    `StorageUnavailable` when storage fails; no vendor's error gets out. Safe to share by threads.
    """

    def __init__(self, store: _Store) -> None:
        self._store = store
        self._folder = store.prefix if isinstance(store, LocalStore) else None
        self._counting = threading.Lock()
        self._num_failures = 0

    @property
    def num_failures(self) -> int:
        """How many times storage has failed, each after all its repeated requests."""
        return self._num_failures

    @classmethod
    def from_url(cls, url: str, *, endpoint: str | None = None) -> "ObjectStore":
        """Open `file:///folder` (made if missing), `memory://`, `s3://bucket/prefix`, and so on.

        Credentials of cloud storage come from the environment, as each cloud's own tools take
        them; so does the endpoint of S3, unless it is given here.
        """
        parts = urlsplit(url)
        if parts.scheme == "file":
            folder = Path(unquote(parts.path))
            folder.mkdir(parents=True, exist_ok=True)
            return cls(LocalStore(folder))
        if parts.scheme == "memory":
            return cls(MemoryStore())
        try:
            store = _open_cloud(url, endpoint)
        except BaseError as error:
            raise StorageUnavailable(
                f"POTSTILL_OBJECTS_URL with {parts.scheme}:// cannot be opened. Check it, and the "
                "variables that its cloud needs, such as AZURE_STORAGE_ACCOUNT_NAME.",
                key="",
            ) from error
        if not isinstance(store, AzureStore | GCSStore | S3Store):
            raise StorageUnavailable(
                f"POTSTILL_OBJECTS_URL names {parts.scheme}://, which cannot be written. "
                "Use file, s3, gs, or az.",
                key="",
            )
        return cls(store)

    @property
    def can_sign(self) -> bool:
        """Whether storage lets others in by signed links."""
        return not isinstance(self._store, LocalStore | MemoryStore)

    def put_file(self, key: str, path: Path, *, attributes: Attributes | None = None) -> None:
        """Store a file's bytes, replacing an object of this key.

        `attributes` are the headers with which storage answers a signed link; a local folder,
        which has no links, keeps none.
        """
        with path.open("rb") as file:
            self._put(key, file, attributes=attributes)

    def put_bytes(self, key: str, data: bytes) -> None:
        """Store a few bytes, replacing an object of this key."""
        self._put(key, data)

    def put_stream(self, key: str, chunks: Iterable[bytes]) -> None:
        """Store chunks as they come; if the iterable raises, nothing is stored and it is raised.

        The chunks may come from objects of this store.
        """
        # Not `obstore.put` of an iterator: it would run the iterator inside its own event loop,
        # where nothing else may be read from obstore. The writer drops what it has on an error.
        with (
            self._translated(key, reads=False),
            obstore.open_writer(
                self._store, key, buffer_size=self._part_bytes, max_concurrency=2
            ) as writer,
        ):
            for chunk in chunks:
                writer.write(chunk)
        self._sync_to_disk(key)

    async def put_stream_async(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        """Do as `put_stream`, for a request body that arrives asynchronously."""
        with self._translated(key, reads=False):
            await obstore.put_async(
                self._store, key, chunks, chunk_size=self._part_bytes, max_concurrency=2
            )
        self._sync_to_disk(key)

    def head(self, key: str) -> ObjectHead:
        """Read size and ETag."""
        with self._translated(key):
            meta = obstore.head(self._store, key)
        return ObjectHead(key=key, size_bytes=meta["size"], etag=meta["e_tag"])

    def list_objects(self) -> Iterator[tuple["ListedObject", ...]]:
        """List everything in storage, a few hundred objects at once, in no order."""
        with self._translated(""):
            for batch in obstore.list(self._store, chunk_size=_LISTED_AT_ONCE):
                yield tuple(
                    ListedObject(meta["path"], meta["size"], meta["last_modified"])
                    for meta in batch
                )

    def exists(self, key: str) -> bool:
        """Tell whether there is an object of this key."""
        try:
            self.head(key)
        except ObjectNotFound:
            return False
        return True

    def iter_bytes(
        self, key: str, *, start: int = 0, end: int | None = None, chunk_bytes: int = CHUNK_BYTES
    ) -> Iterator[bytes]:
        """Read bytes `start` to `end` (exclusive; the end of the object if None) in chunks.

        The object is looked up when this is called, not at the first chunk.
        """
        size_bytes = self.head(key).size_bytes
        end = size_bytes if end is None else min(end, size_bytes)
        if start >= end:
            return iter(())
        with self._translated(key):
            result = obstore.get(self._store, key, options={"range": (start, end)})
        return self._chunks(key, result.stream(min_chunk_size=chunk_bytes))

    def get_bytes(self, key: str, *, start: int = 0, end: int | None = None) -> bytes:
        """Read a small object, or a small range of one, at once."""
        return b"".join(self.iter_bytes(key, start=start, end=end))

    def download(self, key: str, path: Path) -> str:
        """Write an object to a local file, whole or not at all, and return its sha256."""
        chunks = self.iter_bytes(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{secrets.token_hex(8)}.partial")
        digest = hashlib.sha256()
        try:
            with partial.open("xb") as file:
                for chunk in chunks:
                    digest.update(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        return digest.hexdigest()

    def delete(self, key: str) -> None:
        """Delete an object; one that is not there is fine."""
        with suppress(ObjectNotFound), self._translated(key):
            obstore.delete(self._store, key)

    def delete_prefix(self, prefix: str) -> int:
        """Delete all objects under `prefix/`, and return how many there were."""
        keys = list(self.list_keys(prefix))
        for key in keys:
            self.delete(key)
        return len(keys)

    def list_keys(self, prefix: str) -> Iterator[str]:
        """List the keys under `prefix/`, in no order."""
        yield from self.list_sizes(prefix)

    def list_sizes(self, prefix: str) -> dict[str, int]:
        """List the keys under `prefix/` with the bytes of each object."""
        with self._translated(prefix):
            return {
                meta["path"]: meta["size"]
                for batch in obstore.list(self._store, prefix, chunk_size=_LISTED_AT_ONCE)
                for meta in batch
            }

    def local_path(self, key: str) -> Path | None:
        """Name the file that holds an object, to link or read it in place; None if not local.

        The file need not exist. It is never to be written: objects are replaced, not changed.
        """
        return None if self._folder is None else self._folder / key

    def sign_get(self, key: str, *, expires_seconds: int) -> str:
        """Make a URL that reads this object for a while, where `can_sign`."""
        return self._sign("GET", key, expires_seconds)

    def sign_put(self, key: str, *, expires_seconds: int) -> str:
        """Make a URL that writes this object for a while, where `can_sign`."""
        return self._sign("PUT", key, expires_seconds)

    @property
    def _part_bytes(self) -> int:
        # With two parts in flight this bounds the memory of one upload.
        return _LOCAL_BYTES if self._folder is not None else _MULTIPART_BYTES

    def _put(
        self, key: str, data: bytes | IO[bytes], *, attributes: Attributes | None = None
    ) -> None:
        kept = attributes if attributes is not None and self.can_sign else None
        with self._translated(key, reads=False):
            obstore.put(
                self._store,
                key,
                data,
                attributes=kept,
                chunk_size=self._part_bytes,
                max_concurrency=2,
            )
        self._sync_to_disk(key)

    def _sync_to_disk(self, key: str) -> None:
        """Make a local object outlive a power cut: obstore renames into place but does not sync."""
        if self._folder is None:
            return
        path = self._folder / key
        folders = [path.parent, *path.parent.parents]
        inside = folders[: folders.index(self._folder) + 1]
        with self._translated(key):
            for place in (path, *inside):
                descriptor = os.open(place, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    def _sign(self, method: Literal["GET", "PUT"], key: str, expires_seconds: int) -> str:
        if isinstance(self._store, LocalStore | MemoryStore):
            raise TypeError("asked for a link of storage that cannot sign")
        with self._translated(key):
            return obstore.sign(self._store, method, key, timedelta(seconds=expires_seconds))

    @contextmanager
    def _translated(self, key: str, *, reads: bool = True) -> Iterator[None]:
        """Turn vendors' errors into ours. What the source of a write raises is left as it is."""
        try:
            yield
        except BaseError as error:
            raise self._failure(key) from error
        except OSError as error:
            if not reads:
                raise
            if isinstance(error, FileNotFoundError):
                raise ObjectNotFound(key) from error
            raise self._failure(key) from error

    def _failure(self, key: str) -> StorageUnavailable:
        with self._counting:
            self._num_failures += 1
        return StorageUnavailable(f"Object storage failed for {key!r}.", key=key)

    def _chunks(self, key: str, stream: Iterable[bytes]) -> Iterator[bytes]:
        with self._translated(key):
            for chunk in stream:
                yield bytes(chunk)


def _open_cloud(url: str, endpoint: str | None) -> object:
    if endpoint is None:
        return from_url(url, client_options=_CLIENT, retry_config=_RETRIES)
    return from_url(url, client_options=_CLIENT, retry_config=_RETRIES, endpoint=endpoint)
