"""How a child's end is told: from its last message and status to one fact."""

from dataclasses import dataclass

from kdstore.jobs import ExitCause, JobError
from worker.messages import Failed, Finished, Stopped
from worker.watch import StopReason

LastWord = Finished | Failed | Stopped | None


@dataclass(frozen=True)
class Failure:
    """The attempt failed."""

    error: JobError
    cause: ExitCause


Outcome = Finished | Stopped | Failure

_SIGKILL_STATUS = -9


def outcome_of(
    last: LastWord, *, status: int, reason: StopReason | None, ran_out_of_memory: bool = False
) -> Outcome:
    """Say how the attempt ended.

    `last` is the child's last word, if it spoke one; `status` is -9 for a child that was killed;
    `reason` is why it was asked to stop, if it was; `ran_out_of_memory` says that the kernel
    killed for want of memory while the child ran.
    """
    match last:
        case Stopped() if reason == "timed_out":
            return _without_a_word(status, reason, ran_out_of_memory=ran_out_of_memory)
        case Finished() | Stopped():
            return last
        case Failed():
            return Failure(
                JobError(code=last.code, message=last.message, fault=last.fault), last.cause
            )
        case None:
            return _without_a_word(status, reason, ran_out_of_memory=ran_out_of_memory)


def _without_a_word(status: int, reason: StopReason | None, *, ran_out_of_memory: bool) -> Outcome:
    if reason == "timed_out":
        error = JobError(
            code="time_limit_reached",
            message="The job used up limits.max_seconds. Retry it with more to go on from here.",
            fault="user",
        )
        return Failure(error, "timed_out")
    if reason is not None:
        return Stopped(step=0)  # killed while loading, or after the grace: asked for anyway
    if status == _SIGKILL_STATUS and ran_out_of_memory:
        error = JobError(
            code="out_of_memory",
            message="The system killed the training process because memory ran out. The job goes "
            "on from its newest checkpoint while attempts are left; lower training.batch_size, or "
            "ask for a machine with more in resources.memory_bytes.",
            fault="system",
        )
        return Failure(error, "out_of_memory")
    if status == _SIGKILL_STATUS:
        error = JobError(
            code="trainer_killed",
            message="The training process was killed, perhaps because the machine ran out of "
            "memory. The job goes on from its newest checkpoint while attempts are left.",
            fault="system",
        )
        return Failure(error, "killed")
    error = JobError(
        code="trainer_crashed",
        message="The training process ended without a word. The job goes on from its newest "
        "checkpoint while attempts are left.",
        fault="system",
    )
    return Failure(error, "system_error")
