"""One attempt at a job, from claim to end."""

import contextlib
import errno
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.orm import Session

from kdcore.errors import Fault, KdcoreError, SpecInvalid
from kdcore.progress import StageStarted
from kdcore.spec import AnyJob, parse_job
from kdstore import jobs
from kdstore.artifacts import NewArtifact
from kdstore.errors import AttemptLost, NotFound, StorageError
from kdstore.jobs import ExitCause, JobError, JobStatus
from kdstore.log import log_fields
from kdstore.queue import TRAIN_JOB, TRAINING_QUEUES
from kdstore.tracing import NO_SPAN, Span, attempt_of
from worker.artifact_uploads import delete_artifacts, upload_artifacts
from worker.claim_pause import WORKERS_OWN
from worker.messages import Finished, Stopped, TrainOrder
from worker.orders import InputNotReady
from worker.outcomes import Failure, Outcome
from worker.preparation import Postponed, prepare
from worker.progress import TrainedTime
from worker.results import summarise
from worker.retries import write
from worker.runtime import Runtime
from worker.stopping import WorkStopped
from worker.training import train
from worker.watch import AttemptWatch, StopReason

_log = logging.getLogger(__name__)

# Beyond limits.max_seconds, which the child keeps itself: for loading, evaluation and exports.
_EXTRA_SECONDS = 1800.0


@dataclass(frozen=True)
class Delivered:
    """The job is done, and all its files are in object storage."""

    finished: Finished
    artifacts: tuple[NewArtifact, ...]


Ending = Delivered | Stopped | Postponed | Failure


def run_next(runtime: Runtime) -> None:
    """Claim the job whose turn it is, and see one attempt at it to its end; or do nothing.

    After a failure that may be the worker's own it returns late, and then later each time.
    """
    began_at = datetime.now(UTC)
    claim = write(
        runtime.session_factory,
        lambda session: jobs.claim_next(
            session,
            runtime.capacity,
            worker=runtime.name,
            device=runtime.device,
            lease_seconds=runtime.settings.lease_seconds,
        ),
        abandon=runtime.stopping,
    )
    if claim is None:
        _log.info("nothing to claim")
        return
    with log_fields(
        worker=runtime.name,
        job_id=claim.fence.job_id,
        attempt=claim.fence.attempt,
        request_id=claim.request_id,
    ):
        try:
            _run_attempt(runtime, claim, began_at=began_at)
        finally:
            runtime.claim_pause.wait(
                first_seconds=runtime.settings.retry_seconds, stopping=runtime.stopping
            )


def _run_attempt(runtime: Runtime, claim: jobs.Claim, *, began_at: datetime) -> None:
    fence, tracing = claim.fence, runtime.tracing
    try:
        with tracing.span(
            "attempt",
            place=attempt_of(fence.job_id, fence.attempt),
            kind="consumer",
            started_at=began_at,
            job_id=fence.job_id,
            attempt=fence.attempt,
            worker=runtime.name,
            device=runtime.device,
        ) as span:
            with tracing.span("claim", started_at=began_at):
                pass  # it is over; which job it was for, is known only now
            Attempt(runtime, claim, span).run()
    except AttemptLost:
        _log.info("attempt lost")
    finally:
        if not runtime.stopping.is_set():
            runtime.spare.start()


class Attempt:
    """One attempt that owns its job."""

    def __init__(self, runtime: Runtime, claim: jobs.Claim, span: Span = NO_SPAN) -> None:
        self._runtime = runtime
        self._claim = claim
        self._span = span
        self._fence = claim.fence
        self._trained = TrainedTime()

    def run(self) -> None:
        """Train, deliver and end the attempt.

        Raises:
            AttemptLost: it no longer owns the job; its child is gone, nothing more was written.
        """
        _log.info("attempt started")
        try:
            spec = parse_job(self._claim.spec)
        except SpecInvalid as error:
            self._end(failure(error.code, error.message, fault="user"), reason=None)
            return
        left_seconds = spec.limits.max_seconds - self._claim.trained_seconds
        watch = AttemptWatch(
            self._runtime,
            self._claim,
            max_seconds=max(0.0, left_seconds) + _EXTRA_SECONDS,
            trained_seconds=self._trained.seconds,
        )
        with watch, self._runtime.hand_backs.holding(self._hand_back):
            self._end(self._work(spec, watch), reason=watch.reason)

    def _hand_back(self) -> None:
        """End the attempt from another thread, because its own does not in time."""
        self._end(Stopped(step=0), reason="shutdown")

    def _work(self, spec: AnyJob, watch: AttemptWatch) -> Ending:
        """Do everything but the end; each way in which it can go wrong is an outcome."""
        name = f"{self._fence.job_id}-{self._fence.attempt}"
        try:
            with self._runtime.scratch.work_folder(name) as folder:
                outcome = self._train(spec, folder, watch)
                return self._deliver(outcome, watch) if isinstance(outcome, Finished) else outcome
        except AttemptLost:
            raise
        except WorkStopped:
            return Stopped(step=0)
        except (InputNotReady, NotFound) as error:
            return failure(error.code, error.message, fault="user")
        except (KdcoreError, StorageError) as error:
            return self._system_failure(watch, error.code, error.message)
        except Exception as error:  # noqa: BLE001  # the boundary of an attempt: the row gets the fact
            _log.exception("attempt failed")
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                return self._system_failure(watch, "disk_full", _DISK_FULL, cause="disk_full")
            return self._system_failure(watch, "internal_error", _INTERNAL)

    def _train(self, spec: AnyJob, folder: Path, watch: AttemptWatch) -> Outcome | Postponed:
        runtime = self._runtime
        with runtime.tracing.span("prepare inputs", kind_of_job=spec.kind):
            prepared = prepare(runtime, self._claim, spec, folder=folder, watch=watch)
        if not isinstance(prepared, TrainOrder):
            return prepared
        return train(
            runtime,
            prepared,
            fence=self._fence,
            folder=folder,
            watch=watch,
            trained=self._trained,
        )

    def _deliver(self, finished: Finished, watch: AttemptWatch) -> Delivered:
        runtime, fence = self._runtime, self._fence
        write(
            runtime.session_factory,
            lambda session: jobs.set_stage(session, fence, StageStarted(stage="uploading")),
            abandon=runtime.abandon,
        )
        with runtime.tracing.span("upload artifacts", num_files=len(finished.artifacts)):
            artifacts = upload_artifacts(
                runtime, fence, finished.artifacts, check=watch.check_delivery
            )
        return Delivered(finished, artifacts)

    def _system_failure(
        self, watch: AttemptWatch, code: str, message: str, *, cause: ExitCause = "system_error"
    ) -> Stopped | Failure:
        # What breaks while the worker shuts down is no fault of the attempt: it hands back.
        if watch.reason == "shutdown":
            return Stopped(step=0)
        return failure(code, message, fault="system", cause=cause)

    def _end(self, outcome: Ending, *, reason: StopReason | None) -> None:
        runtime = self._runtime
        ended = write(
            runtime.session_factory,
            lambda session: self._write_end(session, outcome, reason),
            abandon=runtime.abandon,
        )
        status = ended.status
        facts: dict[str, str] = {"status": status, "cause": _cause(outcome, reason)}
        _log.info("attempt ended", extra=facts)
        runtime.metrics.attempt_ended(_exit_cause(outcome, reason, status))
        self._span.note(**facts)
        if isinstance(outcome, Failure):
            self._span.fail(outcome.error.code)
            if outcome.cause in WORKERS_OWN:
                runtime.claim_pause.failed()
        # The message of a job that is to wait is sent by a sweeper when its time has come.
        if status == "queued" and self._retry_seconds(outcome) == 0:
            queue = TRAINING_QUEUES[self._claim.wanted_device]
            runtime.postbox.post(TRAIN_JOB, self._fence.job_id, queue)
        if isinstance(outcome, Delivered):
            runtime.claim_pause.succeeded()
            self._clean_up(outcome, ended)

    def _retry_seconds(self, outcome: Ending) -> float:
        """Say how long the job waits for its next attempt; one that was killed goes on at once."""
        if isinstance(outcome, Postponed) or (
            isinstance(outcome, Failure) and outcome.cause != "killed"
        ):
            return self._runtime.settings.retry_seconds
        return 0.0

    def _write_end(
        self, session: Session, outcome: Ending, reason: StopReason | None
    ) -> jobs.Ended:
        """Write the end, and everything that counts only with it, in one transaction."""
        fence = self._fence
        jobs.heartbeat(
            session,
            fence,
            lease_seconds=self._runtime.settings.lease_seconds,
            trained_seconds=self._trained.seconds(),
        )
        if isinstance(outcome, Delivered):
            return jobs.finish(
                session,
                fence,
                result=summarise(outcome.finished.report),
                report=outcome.finished.report.model_dump(mode="json"),
                artifacts=outcome.artifacts,
            )
        return jobs.Ended(self._give_up(session, outcome, reason))

    def _give_up(
        self, session: Session, outcome: Stopped | Postponed | Failure, reason: StopReason | None
    ) -> JobStatus:
        """Write the end of an attempt that delivers nothing."""
        fence = self._fence
        match outcome:
            case Failure():
                return jobs.fail(
                    session,
                    fence,
                    error=outcome.error,
                    exit_cause=outcome.cause,
                    retry_seconds=self._retry_seconds(outcome),
                )
            case Postponed():
                return jobs.release(
                    session,
                    fence,
                    error=outcome.error,
                    delay_seconds=self._retry_seconds(outcome),
                )
            case Stopped() if reason == "cancelled":
                jobs.confirm_cancel(session, fence)
                return "cancelled"
            case Stopped() if reason == "paused":
                return jobs.confirm_pause(session, fence)
            case Stopped():
                return jobs.release(session, fence)

    def _clean_up(self, delivered: Delivered, ended: jobs.Ended) -> None:
        """Delete the objects that nobody needs after the end; any that stay are swept later."""
        runtime = self._runtime
        if ended.status != "succeeded":  # cancelled in the last moment
            delete_artifacts(runtime, delivered.artifacts)
        for key in ended.unreferred:
            with contextlib.suppress(StorageError):
                runtime.objects.delete(key)


_DISK_FULL = "The worker's disk is full. The operator must free space; then retry the job."
_INTERNAL = (
    "The worker failed for a reason that is not the job's. Retry it, and report it if it fails "
    "again."
)


def failure(code: str, message: str, *, fault: Fault, cause: ExitCause | None = None) -> Failure:
    """Make the outcome of an attempt that failed outside the training process."""
    known: ExitCause = "user_error" if fault == "user" else "system_error"
    return Failure(JobError(code=code, message=message, fault=fault), cause or known)


def _cause(outcome: Ending, reason: StopReason | None) -> str:
    if isinstance(outcome, Failure):
        return f"{outcome.cause}: {outcome.error.code}"
    if isinstance(outcome, Postponed):
        return f"postponed: {outcome.error.code}"
    return "finished" if isinstance(outcome, Delivered) else reason or "stopped"


def _exit_cause(outcome: Ending, reason: StopReason | None, status: JobStatus) -> ExitCause:
    """Say what `_write_end` has written as the attempt's exit cause."""
    match outcome:
        case Failure():
            return outcome.cause
        case Delivered():
            return "cancelled" if status == "cancelled" else "finished"
        case Stopped() if reason in ("cancelled", "paused"):
            return "cancelled" if status == "cancelled" else "paused"
        case Stopped() | Postponed():
            return "handed_back"
