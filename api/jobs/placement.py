"""Whether a worker that is up now could run a job."""

from sqlalchemy.orm import Session

from kdcore.spec import AnyJob
from kdstore import workers
from kdstore.tables import Worker

_SEEN_WITHIN_SECONDS = 120.0


def placement_warnings(session: Session, job: AnyJob) -> list[str]:
    """Warn if no worker that was seen lately has what the job needs; it would wait for one."""
    found = workers.read_all(session, within_seconds=_SEEN_WITHIN_SECONDS)
    if not found:
        return ["No worker is up; the job waits until one is."]
    wanted = job.resources
    if any(
        workers.capacity_of(worker).has(
            device=wanted.device,
            num_processes=wanted.num_processes,
            memory_bytes=wanted.memory_bytes,
        )
        for worker in found
    ):
        return []
    has = "; ".join(sorted({_describe(worker) for worker in found}))
    return [f"No worker that is up has what resources asks for; the job waits for one. Up: {has}."]


def _describe(worker: Worker) -> str:
    memory = "" if worker.memory_bytes is None else f", {worker.memory_bytes:,} bytes"
    return f"{worker.device} for up to {worker.max_processes} processes{memory}"
