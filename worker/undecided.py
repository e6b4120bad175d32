"""Why a validation decides nothing this time, and whether its file is to blame."""

import errno
import logging
from dataclasses import dataclass
from typing import Final

from kdcore.errors import KdcoreError
from kdstore.errors import KdstoreError
from kdstore.validation import UNREADABLE, Rejection
from worker.inputs import InputDamaged
from worker.retries import DATABASE_AWAY
from worker.stopping import WorkStopped

_log = logging.getLogger(__name__)

DISK_FULL: Final = "disk_full"


@dataclass(frozen=True)
class Undecided:
    """The file was not looked at to the end; `code` says why.

    `suspicion` is what to refuse it with if that goes on; None if it is not the file's doing.
    """

    code: str
    suspicion: Rejection | None = None


def suspect(code: str) -> Undecided:
    """Say that the reader failed, perhaps by what it read."""
    return Undecided(code, UNREADABLE)


def undecided_by(error: Exception) -> Undecided:
    """Say what an error around the reader means for the file."""
    match error:
        case WorkStopped():
            return Undecided("stopped")
        case InputDamaged():
            return Undecided(error.code, Rejection(error.code, error.message))
        case KdcoreError() | KdstoreError():
            return Undecided(error.code)
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return Undecided(DISK_FULL)
        case _ if isinstance(error, DATABASE_AWAY):
            return Undecided("database_unavailable")
        case _:
            # Also what a reader left that is not what it must be: nobody knows whose doing it is.
            _log.error("validation failed", exc_info=error)
            return suspect("internal_error")
