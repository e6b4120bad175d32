"""The child that trains: `python -m worker.trainer_process`, one job, then it ends."""

import argparse
import errno
import os
import signal
import threading
import traceback
from types import FrameType

import torch

from kdcore.artifacts import Provenance
from kdcore.data import load_dataset
from kdcore.devices import choose_compute
from kdcore.errors import (
    Diverged,
    Interrupted,
    KdcoreError,
    OutOfMemory,
    SpecInvalid,
    TimeLimitReached,
)
from kdcore.run import TeacherInput, run
from worker.child_link import ParentLink
from worker.messages import (
    ArtifactFile,
    Failed,
    FailureCause,
    Finished,
    Ready,
    Stopped,
    TrainOrder,
)
from worker.process_limits import limit_memory


def main() -> None:
    """Load torch, say so, wait for the order, and carry it out."""
    parser = argparse.ArgumentParser(prog="python -m worker.trainer_process")
    parser.add_argument("--events-fd", type=int, required=True)
    parser.add_argument("--device", required=True)
    arguments = parser.parse_args()
    link = ParentLink(arguments.events_fd)
    # With its precision left open, choosing would open the GPU and hold its memory while idle.
    device = choose_compute(device=arguments.device, precision="float32").device
    _warm_up()
    link.send(Ready(device=str(device)))
    line = link.receive_order()
    stop = threading.Event()

    def ask_to_stop(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, ask_to_stop)
    link.send(_carry_out(TrainOrder.model_validate_json(line), link, stop))
    # Everything is on disk and told: taking the interpreter apart would only cost time.
    os._exit(0)


def _carry_out(
    order: TrainOrder, link: ParentLink, stop: threading.Event
) -> Finished | Failed | Stopped:
    """Train, and turn whatever ends the training into one last message."""
    if order.memory_bytes is not None:
        limit_memory(order.memory_bytes)
    try:
        return _train(order, link, stop)
    except Interrupted as interrupted:
        return Stopped(step=interrupted.step)
    except KdcoreError as error:
        return _known_failure(error)
    except MemoryError:
        return _OUT_OF_MEMORY
    except OSError as error:
        traceback.print_exc()
        return _DISK_FULL if error.errno in (errno.ENOSPC, errno.EDQUOT) else _UNKNOWN
    except Exception:  # noqa: BLE001  # the boundary of the process: the worker gets the fact
        traceback.print_exc()
        return _UNKNOWN


def _train(order: TrainOrder, link: ParentLink, stop: threading.Event) -> Finished:
    result = run(
        order.spec,
        dataset=load_dataset(order.dataset),
        transfer_dataset=load_dataset(order.transfer_dataset) if order.transfer_dataset else None,
        teachers=[TeacherInput(teacher.description, teacher.weights) for teacher in order.teachers],
        folder=order.folder,
        device=order.device,
        num_threads=order.num_threads,
        reporter=link.send,
        should_stop=stop.is_set,
        checkpoint_seconds=order.checkpoint_seconds,
        provenance=Provenance(job_id=order.job_id, attempts=order.attempts),
    )
    files = tuple(
        ArtifactFile(
            name=artifact.name,
            path=artifact.path,
            sha256=artifact.sha256,
            size_bytes=artifact.size_bytes,
            media_type=artifact.media_type,
        )
        for artifact in result.artifacts
    )
    return Finished(report=result.report, artifacts=files)


_DISK_FULL = Failed(
    code="disk_full",
    message="The worker's disk is full. The operator must free space; then retry the job.",
    fault="system",
    cause="disk_full",
)
_OUT_OF_MEMORY = Failed(
    code="out_of_memory",
    message="The training process may take no more memory. Take a smaller dataset, or ask the "
    "operator for more.",
    fault="user",
    cause="out_of_memory",
)
_UNKNOWN = Failed(
    code="internal_error",
    message="Training failed for a reason that is not the job's. Retry it, and report it if it "
    "fails again.",
    fault="system",
    cause="system_error",
)
_CAUSES: tuple[tuple[type[KdcoreError], FailureCause], ...] = (
    (Diverged, "diverged"),
    (OutOfMemory, "out_of_memory"),
    (TimeLimitReached, "timed_out"),
)


def _known_failure(error: KdcoreError) -> Failed:
    cause: FailureCause = "user_error" if error.fault == "user" else "system_error"
    for kind, known_cause in _CAUSES:
        if isinstance(error, kind):
            cause = known_cause
    pointer = getattr(error, "pointer", "")
    if isinstance(error, SpecInvalid):
        pointer = error.problems[0].pointer
    return Failed(
        code=error.code, message=error.message, fault=error.fault, cause=cause, pointer=pointer
    )


def _warm_up() -> None:
    """Take one step of training, so that all that torch loads late is loaded before the order."""
    weight = torch.zeros(2, 2, requires_grad=True)
    optimizer = torch.optim.Adam([weight])
    (weight @ weight).sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    optimizer.step()


if __name__ == "__main__":
    main()
