"""Artifacts of finished jobs: written by the ending transaction, read within a workspace."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from kdstore.errors import ArtifactNotFound
from kdstore.tables import Artifact, Job


@dataclass(frozen=True)
class NewArtifact:
    """A file whose object is whole in object storage; `name` is ours and unique in its job."""

    name: str
    object_key: str
    size_bytes: int
    sha256: str
    media_type: str


def artifact_key(*, job_id: str, attempt: int, name: str) -> str:
    """Name the object of an artifact: no two attempts ever write the same key."""
    return f"jobs/{job_id}/artifacts/{attempt:04}/{name}"


def read_all(session: Session, *, workspace_id: str, job_id: str) -> list[Artifact]:
    """Read a job's artifacts by name; none while it has not succeeded."""
    statement = (
        select(Artifact)
        .join(Job, Job.id == Artifact.job_id)
        .where(Job.workspace_id == workspace_id, Artifact.job_id == job_id)
        .order_by(Artifact.name)
    )
    return list(session.scalars(statement))


def get(session: Session, *, workspace_id: str, job_id: str, name: str) -> Artifact:
    """Read one artifact.

    Raises:
        ArtifactNotFound: the job has none of this name (yet), or is of another workspace.
    """
    artifact = session.scalar(
        select(Artifact)
        .join(Job, Job.id == Artifact.job_id)
        .where(Job.workspace_id == workspace_id, Artifact.job_id == job_id, Artifact.name == name)
    )
    if artifact is None:
        raise ArtifactNotFound(name)
    return artifact
