"""The other processes of a job that several train together: started and watched by rank 0."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kdcore.errors import KdcoreError
from worker.messages import RankOrder, TrainOrder
from worker.rank_process import ENDED_STATUS, FAILED_STATUS, OUT_OF_MEMORY_STATUS

# A rank that loses another ends as well, with an error; the one that was lost first is the cause.
_SETTLING_SECONDS = 0.2
# How long after it the loss of a connection may come to be known as the loss of a process.
_NOTICE_SECONDS = 5.0


@contextmanager
def started_ranks(
    order: TrainOrder, store: Path, *, on_out_of_memory: Callable[[], None]
) -> Iterator[None]:
    """Start ranks 1 and up of the order's job, which join over the file `store`.

    When one of them dies, this process ends in the same way, whatever it does: it cannot train on
    its own. The others end with it. `on_out_of_memory` is called before, if memory was the reason.
    """
    ranks = _Ranks(order, store, on_out_of_memory)
    try:
        yield
    except KdcoreError:
        raise
    except Exception:
        # It may be what the loss of a rank looks like from here: then this process ends now.
        ranks.wait_for_loss(_NOTICE_SECONDS)
        raise


class _Ranks:
    def __init__(
        self, order: TrainOrder, store: Path, on_out_of_memory: Callable[[], None]
    ) -> None:
        self._on_out_of_memory = on_out_of_memory
        self._ending = threading.Lock()
        self._is_lost = threading.Event()
        size = order.spec.resources.num_processes
        orders = [
            RankOrder(job=order, rank=rank, size=size, store=store) for rank in range(1, size)
        ]
        with _termination_blocked():
            self._processes = [_spawn() for _ in orders]
        for process, each in zip(self._processes, orders, strict=True):
            threading.Thread(
                target=self._watch, args=(process, each), name=f"rank-{each.rank}", daemon=True
            ).start()

    def wait_for_loss(self, seconds: float) -> None:
        """Wait for the end of this process if a rank is lost, or for `seconds`."""
        if self._is_lost.wait(seconds):
            time.sleep(seconds)

    def _watch(self, process: subprocess.Popen[bytes], order: RankOrder) -> None:
        stdin = process.stdin
        if stdin is None:
            raise AssertionError("ranks are spawned with a pipe as stdin")
        try:
            # It stays open: its end is what tells the rank that this process has gone.
            stdin.write(order.model_dump_json().encode() + b"\n")
            stdin.flush()
        except BrokenPipeError:
            pass  # its status says why
        if process.wait() != ENDED_STATUS:
            self._is_lost.set()
            with self._ending:
                self._end()

    def _end(self) -> None:
        """End this process as the rank was ended that was lost first."""
        time.sleep(_SETTLING_SECONDS)
        statuses = [process.poll() for process in self._processes]
        if OUT_OF_MEMORY_STATUS in statuses:
            self._on_out_of_memory()
            os._exit(0)
        if -signal.SIGKILL in statuses:
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(FAILED_STATUS)


@contextmanager
def _termination_blocked() -> Iterator[None]:
    """Let what is started here not be ended by SIGTERM before it can say that it ignores it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _spawn() -> subprocess.Popen[bytes]:
    """Start a rank in the group of this process, so that whoever kills one kills all.

    By the main thread: the kernel ends a rank with the thread that started it.
    """
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "worker.rank_process"], stdin=subprocess.PIPE
    )
