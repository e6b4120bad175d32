"""All tables, one a file; `Base.metadata` describes the whole database."""

from kdstore.tables.api_keys import ApiKey, Role
from kdstore.tables.artifacts import Artifact
from kdstore.tables.attempts import Attempt, ExitCause
from kdstore.tables.base import Base, JsonObject, UtcDateTime, ValidationStatus
from kdstore.tables.checkpoints import Checkpoint
from kdstore.tables.condemned_objects import CondemnedObject
from kdstore.tables.datasets import Dataset
from kdstore.tables.duties import Duty
from kdstore.tables.events import Event
from kdstore.tables.idempotency_keys import IdempotencyKey
from kdstore.tables.job_tags import JobTag
from kdstore.tables.jobs import Job
from kdstore.tables.log_lines import LogLine
from kdstore.tables.metric_points import MetricPoint
from kdstore.tables.models import Model
from kdstore.tables.reports import JobReport
from kdstore.tables.upload_parts import UploadPart
from kdstore.tables.uploads import Upload, UploadPurpose, UploadStatus
from kdstore.tables.workers import Worker
from kdstore.tables.workspaces import Workspace

__all__ = [
    "ApiKey",
    "Artifact",
    "Attempt",
    "Base",
    "Checkpoint",
    "CondemnedObject",
    "Dataset",
    "Duty",
    "Event",
    "ExitCause",
    "IdempotencyKey",
    "Job",
    "JobReport",
    "JobTag",
    "JsonObject",
    "LogLine",
    "MetricPoint",
    "Model",
    "Role",
    "Upload",
    "UploadPart",
    "UploadPurpose",
    "UploadStatus",
    "UtcDateTime",
    "ValidationStatus",
    "Worker",
    "Workspace",
]
