"""One child trains one job: what it tells goes to the relay, how it ends is one outcome."""

import time
from pathlib import Path

from kdcore.progress import Progress, StageStarted
from kdcore.spec import AnyJob, EvaluateJob
from kdstore import jobs
from worker.checkpoint_uploads import CheckpointUploads
from worker.child import Child, ChildGone
from worker.messages import (
    DatasetAccepted,
    Failed,
    Finished,
    ModelAccepted,
    Ready,
    Rejected,
    Stopped,
    TrainOrder,
)
from worker.oom_kills import OomEvidence
from worker.outcomes import LastWord, Outcome, outcome_of
from worker.progress import FLUSH_SECONDS, Relay, TrainedTime
from worker.runtime import Runtime
from worker.stage_spans import StageSpans
from worker.watch import AttemptWatch

# For the newest checkpoint to be stored: one that the next attempt begins with, and one that is
# only needed if a delivery fails or a cancelled job is retried.
_LAST_UPLOAD_SECONDS = 60.0
_SPARE_UPLOAD_SECONDS = 5.0
_LAST_STAGE = StageStarted(stage="exporting")


def train(
    runtime: Runtime,
    order: TrainOrder,
    *,
    fence: jobs.Fence,
    folder: Path,
    watch: AttemptWatch,
    trained: TrainedTime,
) -> Outcome:
    """Have a child carry out the order. When this returns or raises, the child is gone.

    Raises:
        AttemptLost: the attempt no longer owns its job.
    """
    uploads = CheckpointUploads(runtime, fence, folder / "outbox")
    try:
        relay = Relay(runtime, fence, uploads=uploads, trained=trained)
        oom_evidence = OomEvidence()
        last, status = _listen_to_child(runtime, order, relay=relay, watch=watch)
        if isinstance(last, Finished):
            uploads.close(timeout_seconds=_SPARE_UPLOAD_SECONDS)
        else:
            _wait_for_newest(runtime, uploads, watch)
    finally:
        uploads.close()
    return outcome_of(
        last, status=status, reason=watch.reason, ran_out_of_memory=oom_evidence.is_there()
    )


def _listen_to_child(
    runtime: Runtime, order: TrainOrder, *, relay: Relay, watch: AttemptWatch
) -> tuple[LastWord, int]:
    child = runtime.spare.take()
    watch.attach(child)
    try:
        child.order(order)
        last = _listen(runtime, child, relay, batch_size=_batch_size(order.spec))
    except BaseException:
        child.kill()
        raise
    finally:
        status = child.wait()
    return last, status


def _listen(runtime: Runtime, child: Child, relay: Relay, *, batch_size: int) -> LastWord:
    """Relay what the child tells until it closes its end; return its last word."""
    last: LastWord = None
    with StageSpans(runtime.tracing) as stages:
        while True:
            try:
                message = child.receive(timeout_seconds=FLUSH_SECONDS)
            except ChildGone:
                stages.end(last)
                relay.flush()
                return last
            match message:
                case Finished() | Failed() | Stopped():
                    last = message
                case None | Ready() | ModelAccepted() | DatasetAccepted() | Rejected():
                    pass  # nothing that concerns a job
                case _:
                    if message == _LAST_STAGE:
                        # What must not be disturbed, training and timing, is over.
                        runtime.spare.start()
                    if isinstance(message, StageStarted):
                        stages.enter(message)
                    if isinstance(message, Progress):
                        runtime.metrics.trained(message, batch_size=batch_size)
                    relay.take(message)
            relay.flush_if_due()


def _batch_size(spec: AnyJob) -> int:
    """Give the images of a training step; 0 for a job that trains nothing."""
    return 0 if isinstance(spec, EvaluateJob) else spec.training.batch_size


def _wait_for_newest(runtime: Runtime, uploads: CheckpointUploads, watch: AttemptWatch) -> None:
    """Wait for the newest checkpoint to be stored, as long as it is worth to whoever asked."""
    began_at = time.monotonic()

    def is_over() -> bool:
        if watch.reason == "cancelled" and time.monotonic() - began_at > _SPARE_UPLOAD_SECONDS:
            return True
        return watch.reason == "lost" or runtime.abandon.is_set()

    uploads.drain(timeout_seconds=_LAST_UPLOAD_SECONDS, should_stop=is_over)
