"""Artifacts of a finished job on their way to object storage: all of them, or none that counts."""

import contextlib
from collections.abc import Sequence

from kdstore.artifacts import NewArtifact, artifact_key
from kdstore.errors import StorageError
from kdstore.jobs import Fence
from kdstore.objects import Check
from worker.messages import ArtifactFile
from worker.retries import retry
from worker.runtime import Runtime
from worker.stopping import WorkStopped

_RETRY_SECONDS = 600.0


def upload_artifacts(
    runtime: Runtime, fence: Fence, files: Sequence[ArtifactFile], *, check: Check
) -> tuple[NewArtifact, ...]:
    """Store every file under a key of this attempt; none is visible until the job is finished.

    Raises:
        StorageError: storage stayed away; what was stored is deleted again.
        WorkStopped: `check` has raised it; the same.
    """
    stored: list[NewArtifact] = []
    try:
        for file in files:
            stored.append(_upload(runtime, fence, file, check))  # noqa: PERF401  # kept if one fails
    except (StorageError, WorkStopped):
        delete_artifacts(runtime, stored)
        raise
    return tuple(stored)


def delete_artifacts(runtime: Runtime, artifacts: Sequence[NewArtifact]) -> None:
    """Delete objects that no row refers to; while storage is away they are left to be swept."""
    with contextlib.suppress(StorageError):
        for artifact in artifacts:
            runtime.objects.delete(artifact.object_key)


def _upload(runtime: Runtime, fence: Fence, file: ArtifactFile, check: Check) -> NewArtifact:
    key = artifact_key(job_id=fence.job_id, attempt=fence.attempt, name=file.name)
    with runtime.tracing.span("upload artifact", artifact=file.name, size_bytes=file.size_bytes):
        retry(
            lambda: runtime.objects.put_file(
                key,
                file.path,
                # As the API's own answer names and types it.
                attributes={
                    "Content-Disposition": f'attachment; filename="{file.name}"',
                    "Content-Type": file.media_type,
                },
                check=check,
            ),
            abandon=runtime.abandon,
            max_seconds=_RETRY_SECONDS,
        )
    return NewArtifact(
        name=file.name,
        object_key=key,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        media_type=file.media_type,
    )
