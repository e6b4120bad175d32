"""The training log of a job: numbered lines."""

from collections.abc import Sequence

from sqlalchemy import Select, func, insert, select
from sqlalchemy.orm import Session

from kdcore.progress import LogLine as NewLine
from kdstore import fence as fences
from kdstore.tables import Job, LogLine


def append(
    session: Session,
    fence: fences.Fence,
    lines: Sequence[NewLine],
    *,
    num_before: int | None = None,
) -> None:
    """Write lines at the end of the log.

    With `num_before`, how many lines the attempt has written before as far as it knows, lines that
    are there already are not written again: the answer to an earlier commit of them was lost.

    Raises:
        AttemptLost: the attempt no longer owns the job.
    """
    fences.write(session, fence)
    if num_before is not None:
        lines = lines[_count(session, fence) - num_before :]
    if not lines:
        return
    owned = fences.write(session, fence, log_count=Job.log_count + len(lines))
    count = session.execute(select(Job.log_count).where(Job.id == fence.job_id)).scalar_one()
    first = count - len(lines) + 1
    rows = [
        {
            "job_id": fence.job_id,
            "number": first + offset,
            "attempt_number": fence.attempt,
            "level": line.level,
            "message": line.message,
            "created_at": owned.at,
        }
        for offset, line in enumerate(lines)
    ]
    session.execute(insert(LogLine), rows)


def read(
    session: Session, *, workspace_id: str, job_id: str, after: int = 0, limit: int = 1000
) -> list[LogLine]:
    """Read at most `limit` lines whose number is above `after`, in order.

    Empty as well when the job is not in this workspace.
    """
    statement = _lines(workspace_id, job_id).where(LogLine.number > after)
    return list(session.scalars(statement.order_by(LogLine.number).limit(limit)))


def tail(session: Session, *, workspace_id: str, job_id: str, limit: int = 200) -> list[LogLine]:
    """Read the last `limit` lines, in order."""
    statement = _lines(workspace_id, job_id).order_by(LogLine.number.desc()).limit(limit)
    return list(reversed(session.scalars(statement).all()))


def _count(session: Session, fence: fences.Fence) -> int:
    statement = select(func.count()).where(
        LogLine.job_id == fence.job_id, LogLine.attempt_number == fence.attempt
    )
    return session.execute(statement).scalar_one()


def _lines(workspace_id: str, job_id: str) -> Select[LogLine]:
    return (
        select(LogLine)
        .join(Job, Job.id == LogLine.job_id)
        .where(Job.workspace_id == workspace_id, LogLine.job_id == job_id)
    )
