"""Jobs: asked for, watched, steered, and what they leave."""

import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kdclient.downloads import OnBytes, download_all
from kdclient.errors import JobCancelled, JobFailed, WaitTimedOut
from kdclient.inputs import as_json, ignore_bytes
from kdclient.manifest import verify_manifest
from kdclient.posting import post, read_list
from kdclient.resources import (
    Artifact,
    Job,
    JobEvent,
    JobStatus,
    LogLine,
    Metrics,
    MetricSeries,
    Page,
    Plan,
)
from kdclient.transport import Call, Transport
from kdclient.watching import follow_events, watch_job
from kdcore.manifest import Manifest
from kdcore.report import Report, Run
from kdcore.spec import AnyJob

Spec = AnyJob | Mapping[str, Any]  # a mapping is the same as JSON


class Jobs:
    """The part of `Potstill` that runs jobs."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create_job(self, spec: Spec) -> Job:
        """Ask for a job."""
        return post(self._transport, "v1/jobs", as_json(spec), Job)

    def validate_job(self, spec: Spec) -> Plan:
        """Say what `create_job` would do, without doing it."""
        call = Call("POST", "v1/jobs/validate", json=as_json(spec), repeatable=True)
        return self._transport.read(call, Plan)

    def job(self, job_id: str) -> Job:
        """Read one job."""
        return self._transport.read(Call("GET", f"v1/jobs/{job_id}"), Job)

    def jobs(self, *, status: JobStatus | None = None) -> Iterator[Job]:
        """All jobs of the workspace, or those of one status."""
        params = {"status": status} if status else {}
        return read_list(self._transport, "v1/jobs", Page[Job], params=params)

    def cancel(self, job_id: str) -> Job:
        """End a job for good (it can still be retried)."""
        return self._ask(job_id, "cancel")

    def pause(self, job_id: str) -> Job:
        """Have a job write a checkpoint and stop."""
        return self._ask(job_id, "pause")

    def resume(self, job_id: str) -> Job:
        """Go on with a paused job from its checkpoint."""
        return self._ask(job_id, "resume")

    def retry(
        self, job_id: str, *, max_seconds: int | None = None, max_attempts: int | None = None
    ) -> Job:
        """Go on with a failed or cancelled job from its newest checkpoint.

        The limits stay as they are where they are not given. A job that has used up its seconds
        of training needs more of them: they count for all of its attempts.
        """
        given = {"max_seconds": max_seconds, "max_attempts": max_attempts}
        limits = {name: value for name, value in given.items() if value is not None}
        call = Call("POST", f"v1/jobs/{job_id}/retry", json={"limits": limits} if limits else None)
        return self._transport.read(call, Job)

    def watch(self, job_id: str) -> Iterator[Job]:
        """Give the job now, and each time something about it changes, until it has ended."""
        return watch_job(self._transport, job_id)

    def events(self, job_id: str, *, after: int = 0) -> Iterator[JobEvent]:
        """Give events numbered above `after` as they happen, over any broken line."""
        return follow_events(self._transport, job_id, after=after)

    def wait_for_job(self, job_id: str, *, timeout_seconds: float | None = None) -> Job:
        """Wait until a job has succeeded.

        Raises:
            JobFailed, JobCancelled: it ended otherwise.
            WaitTimedOut: it has not ended after `timeout_seconds`.
        """
        started = time.monotonic()
        until = math.inf if timeout_seconds is None else started + timeout_seconds
        for job in watch_job(self._transport, job_id, until=until):
            if job.has_ended:
                return require_success(job)
        waited = time.monotonic() - started
        raise WaitTimedOut(job_id, status=job.status, waited_seconds=waited)

    def metrics(
        self,
        job_id: str,
        *,
        name: str | None = None,
        run: Run | None = None,
        since_step: int = 0,
        max_points: int = 1000,
    ) -> tuple[MetricSeries, ...]:
        """Read the job's curves, each of at most `max_points`."""
        params = {"since_step": str(since_step), "max_points": str(max_points)}
        params |= {key: text for key, text in {"name": name, "run": run}.items() if text}
        call = Call("GET", f"v1/jobs/{job_id}/metrics", params=params)
        return self._transport.read(call, Metrics).series

    def log(self, job_id: str, *, num_lines: int = 1000) -> tuple[LogLine, ...]:
        """Read the last lines of the training log, at most 1000, oldest first."""
        params = {"tail": str(num_lines)}
        call = Call("GET", f"v1/jobs/{job_id}/logs", params=params)
        return self._transport.read(call, Page[LogLine]).items

    def report(self, job_id: str) -> Report:
        """Read the evaluation of a job that has succeeded."""
        return self._transport.read(Call("GET", f"v1/jobs/{job_id}/report"), Report)

    def artifacts(self, job_id: str) -> tuple[Artifact, ...]:
        """List the files that a job left."""
        call = Call("GET", f"v1/jobs/{job_id}/artifacts")
        return self._transport.read(call, Page[Artifact]).items

    def download_artifacts(
        self, job_id: str, folder: Path | str, *, on_bytes: OnBytes = ignore_bytes
    ) -> Manifest:
        """Download all files of a job and check each against the list and the manifest.

        Goes on where an interrupted download stopped.

        Raises:
            DigestMismatch, FolderDamaged: a file is not what was promised.
            OSError: the folder cannot be written.
        """
        download_all(self._transport, self.artifacts(job_id), Path(folder), on_bytes=on_bytes)
        return verify_manifest(Path(folder))

    def _ask(self, job_id: str, transition: str) -> Job:
        return self._transport.read(Call("POST", f"v1/jobs/{job_id}/{transition}"), Job)


def require_success(job: Job) -> Job:
    """Return an ended job that has succeeded. Raises JobFailed or JobCancelled otherwise."""
    if job.status == "cancelled":
        raise JobCancelled(job.id)
    if job.status == "failed":
        error = job.error
        raise JobFailed(
            job.id,
            code=error.code if error else "unknown",
            detail=error.message if error else "No reason was given.",
            fault=error.fault if error else "system",
        )
    return job
