"""Objects by key in a local folder, memory, S3, GCS or Azure, over obstore."""

import asyncio
import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Literal

import obstore
from obstore.store import LocalStore, MemoryStore

from kdstore.errors import ObjectNotFound
from kdstore.objects.checks import Check, CheckedFile, go_on
from kdstore.objects.durable import sync_to_disk
from kdstore.objects.failures import Failures
from kdstore.objects.opening import Store, open_store
from kdstore.objects.unfinished import UnfinishedWrite, unfinished_writes_in

CHUNK_BYTES = 1024 * 1024
_MULTIPART_BYTES = 5 * 1024 * 1024  # the smallest part that S3 takes
_LOCAL_BYTES = 512 * 1024
_PARTS_IN_FLIGHT = 2
_LISTED_AT_ONCE = 500

# Names of HTTP headers, and their values.
Attributes = dict[str, str]


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

    def __init__(self, store: Store) -> None:
        self._store = store
        self._folder = store.prefix if isinstance(store, LocalStore) else None
        self._failures = Failures()

    @property
    def num_failures(self) -> int:
        """How many times storage has failed, each after all its repeated requests."""
        return self._failures.count

    @classmethod
    def from_url(cls, url: str, *, endpoint: str | None = None) -> "ObjectStore":
        """Open `file:///folder` (made if missing), `memory://`, `s3://bucket/prefix`, and so on.

        Credentials of cloud storage come from the environment, as each cloud's own tools take
        them; so does the endpoint of S3, unless it is given here.
        """
        return cls(open_store(url, endpoint=endpoint))

    @property
    def can_sign(self) -> bool:
        """Whether storage lets others in by signed links."""
        return not isinstance(self._store, LocalStore | MemoryStore)

    def put_file(
        self,
        key: str,
        path: Path,
        *,
        attributes: Attributes | None = None,
        check: Check = go_on,
    ) -> None:
        """Store a file's bytes, replacing an object of this key.

        `attributes` are the headers with which storage answers a signed link; a local folder,
        which has no links, keeps none. What `check` raises is raised, and nothing is stored.
        """
        check()
        with CheckedFile(path, check) as file:
            try:
                self._put(key, file, attributes=attributes)
            except OSError:
                if file.raised is None:
                    raise
                raise file.raised from None

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
            self._failures.translated(key, reads=False),
            obstore.open_writer(
                self._store, key, buffer_size=self._part_bytes, max_concurrency=_PARTS_IN_FLIGHT
            ) as writer,
        ):
            for chunk in chunks:
                writer.write(chunk)
        self._sync_to_disk(key)

    async def put_stream_async(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        """Do as `put_stream`, for a request body that arrives asynchronously."""
        with self._failures.translated(key, reads=False):
            await obstore.put_async(
                self._store,
                key,
                chunks,
                chunk_size=self._part_bytes,
                max_concurrency=_PARTS_IN_FLIGHT,
            )
        # A disk takes milliseconds, or a good part of a second: others go on meanwhile.
        await asyncio.to_thread(self._sync_to_disk, key)

    def head(self, key: str) -> ObjectHead:
        """Read size and ETag."""
        with self._failures.translated(key):
            meta = obstore.head(self._store, key)
        return ObjectHead(key=key, size_bytes=meta["size"], etag=meta["e_tag"])

    def list_objects(self) -> Iterator[tuple["ListedObject", ...]]:
        """List everything in storage, a few hundred objects at once, in no order."""
        with self._failures.translated(""):
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
        with self._failures.translated(key):
            result = obstore.get(self._store, key, options={"range": (start, end)})
        return self._chunks(key, result.stream(min_chunk_size=chunk_bytes))

    def get_bytes(self, key: str, *, start: int = 0, end: int | None = None) -> bytes:
        """Read a small object, or a small range of one, at once."""
        return b"".join(self.iter_bytes(key, start=start, end=end))

    def download(self, key: str, path: Path, *, check: Check = go_on) -> str:
        """Write an object to a local file, whole or not at all, and return its sha256.

        What `check` raises is raised, and no file is there.
        """
        check()
        chunks = self.iter_bytes(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{secrets.token_hex(8)}.partial")
        digest = hashlib.sha256()
        try:
            with partial.open("xb") as file:
                for chunk in chunks:
                    check()
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
        with suppress(ObjectNotFound), self._failures.translated(key):
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
        with self._failures.translated(prefix):
            return {
                meta["path"]: meta["size"]
                for batch in obstore.list(self._store, prefix, chunk_size=_LISTED_AT_ONCE)
                for meta in batch
            }

    def unfinished_writes(self) -> Iterator[UnfinishedWrite]:
        """Find the writes into a local folder that have not ended; no listing tells of them.

        Clouds have rules of their own for these: there are none here.
        """
        return iter(()) if self._folder is None else unfinished_writes_in(self._folder)

    def drop_unfinished(self, write: UnfinishedWrite) -> None:
        """Delete what a write has left; if it is at work after all, it fails."""
        if self._folder is not None:
            with self._failures.translated(write.key):
                (self._folder / write.key).unlink(missing_ok=True)

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
    def stream_memory_bytes(self) -> int:
        """The most that `put_stream` holds in memory at a time."""
        return (_PARTS_IN_FLIGHT + 1) * self._part_bytes

    @property
    def _part_bytes(self) -> int:
        return _LOCAL_BYTES if self._folder is not None else _MULTIPART_BYTES

    def _put(
        self, key: str, data: bytes | IO[bytes], *, attributes: Attributes | None = None
    ) -> None:
        kept = attributes if attributes is not None and self.can_sign else None
        with self._failures.translated(key, reads=False):
            obstore.put(
                self._store,
                key,
                data,
                attributes=kept,
                chunk_size=self._part_bytes,
                max_concurrency=_PARTS_IN_FLIGHT,
            )
        self._sync_to_disk(key)

    def _sync_to_disk(self, key: str) -> None:
        if self._folder is not None:
            with self._failures.translated(key):
                sync_to_disk(self._folder / key, folder=self._folder)

    def _sign(self, method: Literal["GET", "PUT"], key: str, expires_seconds: int) -> str:
        if isinstance(self._store, LocalStore | MemoryStore):
            raise TypeError("asked for a link of storage that cannot sign")
        with self._failures.translated(key):
            return obstore.sign(self._store, method, key, timedelta(seconds=expires_seconds))

    def _chunks(self, key: str, stream: Iterable[bytes]) -> Iterator[bytes]:
        with self._failures.translated(key):
            for chunk in stream:
                yield bytes(chunk)
