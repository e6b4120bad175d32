"""Checkpoint files written in a thread of their own, one at a time."""

from concurrent.futures import Future, ThreadPoolExecutor

from kdcore.trainer.checkpoints import CheckpointFolder, SavedCheckpoint
from kdcore.trainer.snapshots import Snapshot


class CheckpointWriter:
    """Writes, syncs, digests and rotates while training goes on. Nothing ever queues up here.

    Everything but the writing happens in the thread of the caller. The thread begins with the
    first checkpoint.
    """

    def __init__(self, folder: CheckpointFolder) -> None:
        self._folder = folder
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint-writer")
        self._underway: Future[SavedCheckpoint] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a checkpoint is being written."""
        return self._underway is not None and not self._underway.done()

    def start(self, snapshot: Snapshot) -> None:
        """Begin to write. What was begun before must have been collected."""
        if self._underway is not None:
            raise AssertionError("collect the checkpoint before the next one is begun")
        self._underway = self._thread.submit(self._write, snapshot)

    def collect(self, *, wait: bool) -> SavedCheckpoint | None:
        """Take the checkpoint that has been written since the last call; None if there is none.

        Raises:
            OSError: it could not be written.
        """
        underway = self._underway
        if underway is None or not (wait or underway.done()):
            return None
        self._underway = None
        return underway.result()

    def close(self) -> None:
        """Wait for the last file, and end the thread."""
        self._thread.shutdown()

    def _write(self, snapshot: Snapshot) -> SavedCheckpoint:
        snapshot.wait()
        return self._folder.save(snapshot.header, snapshot.tensors)
