"""A folder whose files are written only once a test lets them be."""

import threading
from pathlib import Path

from kdcore.trainer.checkpoints import (
    CheckpointFolder,
    CheckpointHeader,
    SavedCheckpoint,
    Tensors,
)


class HeldFolder(CheckpointFolder):
    """Holds each file back while `may_write` is not set, as a slow disk would."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.may_write = threading.Event()
        self._underway = threading.Lock()
        self.most_underway = 0

    def save(self, header: CheckpointHeader, tensors: Tensors) -> SavedCheckpoint:
        """Wait for leave, then write."""
        is_first = self._underway.acquire(blocking=False)
        self.most_underway = max(self.most_underway, 1 if is_first else 2)
        try:
            self.may_write.wait()
            return super().save(header, tensors)
        finally:
            if is_first:
                self._underway.release()
