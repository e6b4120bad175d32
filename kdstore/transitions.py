"""The table of allowed job transitions: nothing changes a status against it."""

from typing import Final, Literal

JobStatus = Literal[
    "queued", "running", "pausing", "paused", "cancelling", "succeeded", "failed", "cancelled"
]

TERMINAL: Final[frozenset[JobStatus]] = frozenset({"succeeded", "failed", "cancelled"})

# An attempt owns the job in these: it may write, and must heartbeat.
OWNED: Final[frozenset[JobStatus]] = frozenset({"running", "pausing", "cancelling"})

ALLOWED: Final[dict[JobStatus, frozenset[JobStatus]]] = {
    "queued": frozenset({"running", "paused", "cancelled"}),
    "running": frozenset({"succeeded", "failed", "queued", "pausing", "cancelling"}),
    # Work may end before a request to stop reaches it. A finished job stays finished when it
    # was only to pause; when a person cancelled it, cancelled is what it becomes.
    "pausing": frozenset({"paused", "succeeded", "failed", "cancelling"}),
    "cancelling": frozenset({"cancelled"}),
    "paused": frozenset({"queued", "cancelled"}),
    "failed": frozenset({"queued"}),
    "cancelled": frozenset({"queued"}),
    "succeeded": frozenset(),
}


def may_become(from_status: JobStatus, to_status: JobStatus) -> bool:
    """Tell whether the table allows this transition."""
    return to_status in ALLOWED[from_status]
