"""What a job made: its report and its artifacts."""

from sqlalchemy.orm import Session

from api.addresses import url_of
from api.downloads import StoredFile
from api.jobs.schemas import ArtifactRead
from api.schemas import JsonObject, ListOf
from kdstore import artifacts, jobs
from kdstore.settings import Settings


def read_report(session: Session, *, workspace_id: str, job_id: str) -> JsonObject:
    """Read the report as `kdcore.report.Report` wrote it. Raises JobNotFound, ReportNotFound."""
    return jobs.get_report(session, workspace_id=workspace_id, job_id=job_id)


def read_artifacts(
    session: Session, *, workspace_id: str, settings: Settings, job_id: str
) -> ListOf[ArtifactRead]:
    """Read the list of files by name; empty before the job has succeeded. Raises JobNotFound."""
    jobs.get(session, workspace_id=workspace_id, job_id=job_id)
    rows = artifacts.read_all(session, workspace_id=workspace_id, job_id=job_id)
    items = [
        ArtifactRead(
            name=row.name,
            size_bytes=row.size_bytes,
            sha256=row.sha256,
            media_type=row.media_type,
            url=url_of(settings, f"/v1/jobs/{job_id}/artifacts/{row.name}"),
        )
        for row in rows
    ]
    return ListOf[ArtifactRead](items=items, next_cursor=None)


def find_artifact(session: Session, *, workspace_id: str, job_id: str, name: str) -> StoredFile:
    """Find one file. Raises ArtifactNotFound."""
    row = artifacts.get(session, workspace_id=workspace_id, job_id=job_id, name=name)
    return StoredFile(
        object_key=row.object_key,
        name=row.name,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        media_type=row.media_type,
    )
