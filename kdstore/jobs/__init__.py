"""The life cycle of jobs: every transition, and every write of an attempt, fenced.

Functions take a Session inside a transaction of the caller, and never commit.
"""

from kdstore.fence import Fence
from kdstore.jobs.attempts import (
    Claim,
    NewCheckpoint,
    checkpoint_key,
    checkpointed,
    claim,
    heartbeat,
    resumed,
    set_progress,
    set_spec,
    set_stage,
)
from kdstore.jobs.endings import Ended, confirm_cancel, confirm_pause, fail, finish, release
from kdstore.jobs.order import claim_next, is_waiting
from kdstore.jobs.queries import attempts_of, attempts_of_one, get, get_report, page
from kdstore.jobs.requests import create, request_cancel, request_pause, resume, retry
from kdstore.jobs.status import JobError, lock
from kdstore.jobs.sweep import LostAttempt, SweptJobs, sweep
from kdstore.jobs.waiting import backoff_seconds
from kdstore.tables import ExitCause
from kdstore.transitions import OWNED, TERMINAL, JobStatus

__all__ = [
    "OWNED",
    "TERMINAL",
    "Claim",
    "Ended",
    "ExitCause",
    "Fence",
    "JobError",
    "JobStatus",
    "LostAttempt",
    "NewCheckpoint",
    "SweptJobs",
    "attempts_of",
    "attempts_of_one",
    "backoff_seconds",
    "checkpoint_key",
    "checkpointed",
    "claim",
    "claim_next",
    "confirm_cancel",
    "confirm_pause",
    "create",
    "fail",
    "finish",
    "get",
    "get_report",
    "heartbeat",
    "is_waiting",
    "lock",
    "page",
    "release",
    "request_cancel",
    "request_pause",
    "resume",
    "resumed",
    "retry",
    "set_progress",
    "set_spec",
    "set_stage",
    "sweep",
]
