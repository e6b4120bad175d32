"""Typed Python client of the HTTP API, and the `potstill` command line.

from kdclient import Potstill

with Potstill("http://127.0.0.1:8000", api_key) as client:
    job = client.create_job({"kind": "train", "dataset": "digits", "network": {...}})
    client.wait_for_job(job.id)
    client.download_artifacts(job.id, "digits-teacher")
"""

from kdclient.client import Potstill
from kdclient.comparison import Comparison, compare
from kdclient.errors import (
    ApiProblem,
    ConnectionFailed,
    DigestMismatch,
    FieldProblem,
    FileDamaged,
    FolderDamaged,
    JobCancelled,
    JobFailed,
    NotUsable,
    PortOccupied,
    PotstillError,
    ResourceRejected,
    ServiceDied,
    ServiceFailure,
    SettingsMissing,
    SplitNotReported,
    UnexpectedAnswer,
    WaitTimedOut,
)
from kdclient.manifest import verify_manifest
from kdclient.retries import RetryPolicy

__all__ = [
    "ApiProblem",
    "Comparison",
    "ConnectionFailed",
    "DigestMismatch",
    "FieldProblem",
    "FileDamaged",
    "FolderDamaged",
    "JobCancelled",
    "JobFailed",
    "NotUsable",
    "PortOccupied",
    "Potstill",
    "PotstillError",
    "ResourceRejected",
    "RetryPolicy",
    "ServiceDied",
    "ServiceFailure",
    "SettingsMissing",
    "SplitNotReported",
    "UnexpectedAnswer",
    "WaitTimedOut",
    "compare",
    "verify_manifest",
]
