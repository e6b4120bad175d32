"""The child that trains one job, then ends: `python -m worker.trainer_process`, or a fork."""

import argparse
import os
import signal
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import torch

from kdcore.artifacts import Provenance
from kdcore.data import load_dataset
from kdcore.devices import choose_compute
from kdcore.distributed import ALONE, World, check_devices, count_gpus, device_of_rank, joined
from kdcore.errors import Interrupted, KdcoreError
from kdcore.process_memory import limit_data
from kdcore.run import TeacherInput, out_of_memory, run
from worker.child_link import ParentLink
from worker.failures import failure_of
from worker.messages import ArtifactFile, Failed, Finished, Ready, Stopped, TrainOrder
from worker.ranks import started_ranks


def main(arguments_given: Sequence[str] | None = None) -> None:
    """Load what is left to load, say so, wait for the order, and carry it out."""
    parser = argparse.ArgumentParser(prog="python -m worker.trainer_process")
    parser.add_argument("--events-fd", type=int, required=True)
    parser.add_argument("--device", required=True)
    arguments = parser.parse_args(arguments_given)
    link = ParentLink(arguments.events_fd)
    # With its precision left open, choosing would open the GPU and hold its memory while idle.
    device = choose_compute(device=arguments.device, precision="float32").device
    _warm_up()
    link.send(Ready(device=str(device), num_gpus=count_gpus(str(device))))
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
        limit_data(order.memory_bytes)
    try:
        with _world(order, link) as world:
            return _train(order, link, stop, world)
    except Interrupted as interrupted:
        return Stopped(step=interrupted.step)
    except Exception as error:  # noqa: BLE001  # the boundary of the process: the worker gets the fact
        if not isinstance(error, KdcoreError | MemoryError):
            traceback.print_exc()
        return failure_of(error)


@contextmanager
def _world(order: TrainOrder, link: ParentLink) -> Iterator[World]:
    """Start the other processes of the job and join them; a job of one process trains alone."""
    size = order.spec.resources.num_processes
    if size == 1:
        yield ALONE
        return
    check_devices(order.device, size)
    order.folder.mkdir(parents=True, exist_ok=True)
    store = order.folder / f"ranks-{os.getpid()}"
    device = torch.device(device_of_rank(order.device, 0))
    with (
        started_ranks(order, store, on_out_of_memory=lambda: link.send(_OUT_OF_MEMORY)),
        joined(rank=0, size=size, store=store, device=device) as world,
    ):
        yield world


def _train(order: TrainOrder, link: ParentLink, stop: threading.Event, world: World) -> Finished:
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
        world=world,
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


_OUT_OF_MEMORY = failure_of(out_of_memory())


def _warm_up() -> None:
    """Take one step of training, so that all that torch loads late is loaded before the order."""
    weight = torch.zeros(2, 2, requires_grad=True)
    # Not Adam: it looks whether a graph of the GPU is being captured, which opens the GPU.
    optimizer = torch.optim.SGD([weight], lr=0.1)
    (weight @ weight).sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    optimizer.step()


if __name__ == "__main__":
    main()
