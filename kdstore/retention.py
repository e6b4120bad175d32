"""Retention: what is forgotten once it is old enough, never what a model or a job still needs.

Rows go here; the objects that they referred to are orphans then, and `kdstore.condemned` has the
say on those. Every function handles at most `limit` jobs, uploads or workers in the caller's
transaction, locks them first, and says which it handled: call it again while it handles that many.
"""

from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Final

from sqlalchemy import ColumnElement, Select, and_, delete, exists, or_, select
from sqlalchemy.orm import Session

from kdstore.db import now
from kdstore.tables import (
    Artifact,
    Attempt,
    Base,
    Checkpoint,
    Dataset,
    Event,
    Job,
    JobReport,
    JobTag,
    LogLine,
    MetricPoint,
    Model,
    Upload,
    Worker,
)
from kdstore.transitions import TERMINAL, JobStatus

Forget = Callable[..., list[str]]

_HISTORY = (Event, LogLine, MetricPoint)
OF_JOBS: Final = (*_HISTORY, Artifact, Attempt, Checkpoint, JobReport, JobTag)
"""The tables whose rows belong to a job and go with it."""

# It may go on from its checkpoints when somebody asks; a job that has succeeded has none.
_RESUMABLE: Final[frozenset[JobStatus]] = frozenset({"failed", "cancelled", "paused"})


def forget_checkpoints(session: Session, *, older_than_seconds: float, limit: int) -> list[str]:
    """Forget the checkpoints of jobs that have stood still that long; they would start anew."""
    wanted = _jobs_since(session, _RESUMABLE, older_than_seconds, limit).where(_has(Checkpoint))
    job_ids = list(session.scalars(wanted))
    _delete_of_jobs(session, Checkpoint, job_ids)
    return job_ids


def forget_artifacts(session: Session, *, older_than_seconds: float, limit: int) -> list[str]:
    """Forget the files of ended jobs; not of a job that a model was made of."""
    wanted = _jobs_since(session, TERMINAL, older_than_seconds, limit)
    job_ids = _without_model(session, wanted.where(_has(Artifact)))
    _delete_of_jobs(session, Artifact, job_ids)
    return job_ids


def forget_history(session: Session, *, older_than_seconds: float, limit: int) -> list[str]:
    """Forget events, metrics and log of ended jobs; report and result stay."""
    wanted = _jobs_since(session, TERMINAL, older_than_seconds, limit)
    job_ids = list(session.scalars(wanted.where(or_(*(_has(table) for table in _HISTORY)))))
    for table in _HISTORY:
        _delete_of_jobs(session, table, job_ids)
    return job_ids


def forget_jobs(session: Session, *, older_than_seconds: float, limit: int) -> list[str]:
    """Forget ended jobs with all that belongs to them; not a job that a model was made of."""
    wanted = _jobs_since(session, TERMINAL, older_than_seconds, limit)
    job_ids = _without_model(session, wanted)
    delete_jobs(session, job_ids)
    return job_ids


def forget_unused_uploads(session: Session, *, older_than_seconds: float, limit: int) -> list[str]:
    """Forget stored uploads of which no model or dataset was made."""
    unused = and_(
        ~exists().where(Model.source_upload_id == Upload.id),
        ~exists().where(Dataset.source_upload_id == Upload.id),
    )
    oldest = now(session) - timedelta(seconds=older_than_seconds)
    statement = (
        select(Upload.id)
        .where(Upload.status == "stored", Upload.stored_at < oldest, unused)
        .order_by(Upload.stored_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    locked = list(session.scalars(statement))
    # Seen again now that nobody can refer to them any more: `uploads.require_stored` locks too.
    upload_ids = list(session.scalars(select(Upload.id).where(Upload.id.in_(locked), unused)))
    _delete(session, Upload, upload_ids, by="id")
    return upload_ids


def forget_closed_uploads(session: Session, *, older_than_seconds: float, limit: int) -> list[str]:
    """Forget uploads that were abandoned or have expired, with the rows of their parts.

    Their time counts from their expiry. They never open again, and nothing is made of them.
    """
    oldest = now(session) - timedelta(seconds=older_than_seconds)
    statement = (
        select(Upload.id)
        .where(Upload.status.in_(("abandoned", "expired")), Upload.expires_at < oldest)
        .order_by(Upload.expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    upload_ids = list(session.scalars(statement))
    _delete(session, Upload, upload_ids, by="id")
    return upload_ids


def forget_workers(session: Session, *, older_than_seconds: float, limit: int) -> list[str]:
    """Forget workers that were last seen that long ago: each has a new name when it starts."""
    oldest = now(session) - timedelta(seconds=older_than_seconds)
    statement = (
        select(Worker.name)
        .where(Worker.last_seen_at < oldest)
        .order_by(Worker.last_seen_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    names = list(session.scalars(statement))
    _delete(session, Worker, names, by="name")
    return names


def delete_jobs(session: Session, job_ids: Collection[str]) -> None:
    """Delete jobs that the caller has locked, with all that belongs to them."""
    for table in OF_JOBS:
        _delete_of_jobs(session, table, job_ids)
    _delete(session, Job, job_ids, by="id")


def _jobs_since(
    session: Session, statuses: Collection[JobStatus], seconds: float, limit: int
) -> Select[str]:
    """Select and lock jobs in one of `statuses` that have not changed for that long."""
    oldest = now(session) - timedelta(seconds=seconds)
    return (
        select(Job.id)
        .where(Job.status.in_(statuses), Job.updated_at < oldest)
        .order_by(Job.updated_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )


def _without_model(session: Session, jobs: Select[str]) -> list[str]:
    """Lock jobs that no model was made of."""
    is_source = exists().where(Model.source_job_id == Job.id)
    locked = list(session.scalars(jobs.where(~is_source)))
    # Seen again now that nobody can make one any more: `models.create_from_job` locks too.
    return list(session.scalars(select(Job.id).where(Job.id.in_(locked), ~is_source)))


def _has(table: type[Base]) -> ColumnElement[bool]:
    return exists().where(table.__table__.c.job_id == Job.id)


def _delete_of_jobs(session: Session, table: type[Base], job_ids: Collection[str]) -> None:
    _delete(session, table, job_ids, by="job_id")


def _delete(session: Session, table: type[Base], values: Collection[str], *, by: str) -> None:
    session.execute(
        delete(table)
        .where(table.__table__.c[by].in_(values))
        .execution_options(synchronize_session=False)
    )
