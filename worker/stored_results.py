"""What ingest accepted, on its way to object storage: named by content, so stored once."""

import json
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from kdstore import condemned
from kdstore.datasets import DatasetFile, ReadyDataset, Thumbnail, file_key
from kdstore.db import reading
from kdstore.models import ReadyModel, TappableLayer, weights_key
from kdstore.objects import Check
from worker.digests import sha256_of
from worker.messages import ModelAccepted, ThumbnailFile
from worker.retries import retry
from worker.runtime import Runtime

_RETRY_SECONDS = 60.0
_DESCRIPTION_NAME = "dataset.json"


class ReaderLied(Exception):
    """A reader left something other than plain files: it is not ours any more."""


def store_weights(
    runtime: Runtime, accepted: ModelAccepted, path: Path, *, check: Check
) -> ReadyModel:
    """Store canonical weights. Digest and size are measured here, not taken from the reader.

    Raises:
        StorageUnavailable: storage stayed away.
        ReaderLied: there is no plain file.
        WorkStopped: `check` has raised it.
    """
    file = _store_file(runtime, path, key_of=weights_key, check=check)
    return ReadyModel(
        description=accepted.description,
        format=accepted.format,
        parameters=accepted.parameters,
        flops=accepted.flops,
        layers=[TappableLayer(layer.name, layer.shape) for layer in accepted.layers],
        object_key=file.object_key,
        sha256=file.sha256,
        size_bytes=file.size_bytes,
    )


def store_dataset(
    runtime: Runtime,
    folder: Path,
    *,
    thumbnails: Sequence[ThumbnailFile],
    thumbnail_folder: Path,
    check: Check,
) -> ReadyDataset:
    """Store every file of a canonical folder, and its thumbnails.

    Raises:
        StorageUnavailable: storage stayed away.
        ReaderLied: there is something else than plain files.
        WorkStopped: `check` has raised it.
    """
    files = [
        _store_file(runtime, path, key_of=file_key, check=check)
        for path in sorted(folder.iterdir())
    ]
    sha256_by_name = {file.name: file.sha256 for file in files}
    return ReadyDataset(
        description=json.loads((folder / _DESCRIPTION_NAME).read_text()),
        files=files,
        sha256=sha256_by_name[_DESCRIPTION_NAME],
        thumbnails=[
            Thumbnail(
                thumbnail.class_name,
                _store_file(
                    runtime, thumbnail_folder / thumbnail.name, key_of=file_key, check=check
                ).object_key,
            )
            for thumbnail in thumbnails
        ],
    )


def _store_file(
    runtime: Runtime, path: Path, *, key_of: Callable[[str], str], check: Check
) -> DatasetFile:
    if not stat.S_ISREG(path.lstat().st_mode):
        raise ReaderLied(f"{path.name} is no plain file.")
    sha256 = sha256_of(path, check=check)

    def put() -> str:
        with reading(runtime.session_factory) as session:
            key = condemned.storable_key(session, key_of(sha256))
        if not runtime.objects.exists(key):
            runtime.objects.put_file(key, path, check=check)
        return key

    key = retry(put, abandon=runtime.abandon, max_seconds=_RETRY_SECONDS)
    return DatasetFile(
        name=path.name, object_key=key, sha256=sha256, size_bytes=path.stat().st_size
    )
