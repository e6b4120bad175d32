"""The process of one rank: `python -m worker.rank_process`, started by rank 0 of the same job."""

import os
import signal
import sys
import traceback
from typing import Final

import torch

from kdcore.data import load_dataset
from kdcore.distributed import device_of_rank, joined
from kdcore.errors import Diverged, Interrupted, InvalidInput, OutOfMemory, TimeLimitReached
from kdcore.process_memory import limit_data
from kdcore.run import TeacherInput, assist
from worker.child_link import Leash
from worker.messages import RankOrder

ENDED_STATUS: Final = 0
FAILED_STATUS: Final = 1
OUT_OF_MEMORY_STATUS: Final = 12  # as the system's own ENOMEM

# What every rank finds at the same step; rank 0 tells it.
_AGREED = (Diverged, Interrupted, InvalidInput, TimeLimitReached)


def main() -> None:
    """Wait for the order, carry it out, and tell by the status how it ended."""
    leash = Leash()
    # It goes to the whole group of processes: rank 0 hears it, and all stop at the same step.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    status = _carry_out(RankOrder.model_validate_json(leash.receive_order()))
    sys.stderr.flush()
    os._exit(status)


def _carry_out(order: RankOrder) -> int:
    try:
        _assist(order)
    except (OutOfMemory, MemoryError):
        return OUT_OF_MEMORY_STATUS
    except _AGREED:
        return ENDED_STATUS
    except Exception:  # noqa: BLE001  # the boundary of the process: rank 0 gets the status
        traceback.print_exc()
        return FAILED_STATUS
    return ENDED_STATUS


def _assist(order: RankOrder) -> None:
    job = order.job
    if job.memory_bytes is not None:
        limit_data(job.memory_bytes)
    device = torch.device(device_of_rank(job.device, order.rank))
    with joined(rank=order.rank, size=order.size, store=order.store, device=device) as world:
        assist(
            job.spec,
            dataset=load_dataset(job.dataset),
            transfer_dataset=load_dataset(job.transfer_dataset) if job.transfer_dataset else None,
            teachers=[
                TeacherInput(teacher.description, teacher.weights) for teacher in job.teachers
            ],
            folder=job.folder,
            device=job.device,
            num_threads=job.num_threads,
            world=world,
        )


if __name__ == "__main__":
    main()
