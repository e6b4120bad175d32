"""Jobs as clients read them; what they send is `kdcore.spec`."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from api.jobs import examples
from api.schemas import Answer, JsonObject
from kdcore.errors import Fault
from kdcore.progress import Stage
from kdcore.report import Run
from kdcore.spec import Limits
from kdstore.jobs import ExitCause, JobStatus

JobKind = Literal["train", "distill", "evaluate"]


class ProgressRead(Answer):
    """How far a job is; `epoch`, `step`, `loss` and `accuracy` are those of the current run."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.PROGRESS]})

    fraction: float = Field(description="0 to 1, of all training steps of the job.")
    run: Run
    training_stage: str | None = Field(
        description="The run's, as `training.stages` names it; null if an older version trained it."
    )
    epoch: int = Field(description="Epochs finished.")
    num_epochs: int
    step: int = Field(description="Optimizer steps finished.")
    num_steps: int
    images_per_second: float
    eta_seconds: float
    loss: float | None
    accuracy: float | None = Field(description="Newest on the test split.")


class JobErrorRead(Answer):
    """Why a job failed, and whose fault it is."""

    code: str
    message: str
    fault: Fault


class AttemptRead(Answer):
    """One worker's go at a job."""

    number: int
    worker: str
    device: str
    started_at: datetime
    ended_at: datetime | None
    exit_cause: ExitCause | None
    resumed_from_step: int | None = Field(description="null if it began anew.")


class JobRead(Answer):
    """A job as it stands."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.JOB]})

    id: str
    kind: JobKind
    name: str
    status: JobStatus
    stage: Stage | None = Field(description="null unless it runs.")
    progress: ProgressRead | None
    spec: JsonObject = Field(
        description="As it was posted, with every default filled in, and with the layers and "
        "stages of its method. Layers of torchvision's networks are chosen when the job starts, "
        "and then stand here."
    )
    result: JsonObject | None = Field(description="The outcome in short, once it has succeeded.")
    error: JobErrorRead | None = Field(description="Why it failed.")
    attempts: list[AttemptRead]
    tags: dict[str, str]
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class JobRetry(BaseModel):
    """How a job is to be tried again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    limits: Limits = Field(Limits(), description="New ones; what is left out stays as it is.")


class NetworkCost(Answer):
    """Size and cost of a network; null where only building it would tell."""

    parameters: int | None
    flops: int | None = Field(description="Of one image; 2 per multiply-add.")


class ModelFacts(NetworkCost):
    """A model that a job needs, as far as it is known."""

    model: str
    accuracy: float | None = Field(description="On this dataset's test split, if a job found it.")


class Estimate(Answer):
    """What a job will take; null where nothing is known."""

    memory_bytes_at_least: int | None = Field(
        description="Of the device: weights, gradients and optimizer; no activations, no images."
    )
    checkpoint_copy_bytes: int | None = Field(
        description="Of the machine, besides: the copy of weights and optimizer that a checkpoint "
        "is written from while training goes on."
    )
    image_bytes: int = Field(
        description="Of all images. They are held by the device, besides, if they take at most "
        "half of what is free there, else read as needed."
    )
    training_steps: int = Field(
        description="Optimizer steps of all runs and stages: assistants, generations, student and "
        "control; peers learn in the student's steps. About, for unlabelled parts of classes."
    )
    training_seconds: float | None = Field(
        description="From the newest finished job with the same networks, data and terms of the "
        "method, by steps."
    )


class JobValidation(Answer):
    """What a job would be; nothing was created."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.VALIDATION]})

    spec: JsonObject = Field(
        description="With every default filled in, and with the layers and stages of its method."
    )
    teachers: list[ModelFacts]
    models: list[ModelFacts] = Field(description="Those to evaluate; empty for other kinds.")
    student: NetworkCost | None = Field(description="null unless the kind is distill.")
    network: NetworkCost | None = Field(description="null unless the kind is train.")
    estimate: Estimate
    warnings: list[str]


class SeriesRead(Answer):
    """One curve: `values[i]` was measured at optimizer step `steps[i]`."""

    name: str
    run: Run
    steps: list[int]
    values: list[float]


class MetricsRead(Answer):
    """The curves of a job."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.METRICS]})

    series: list[SeriesRead]


class EventRead(Answer):
    """Something that happened to a job; numbers have no gaps."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.EVENT]})

    number: int
    type: Literal[
        "status_changed",
        "stage_entered",
        "attempt_started",
        "attempt_resumed",
        "attempt_ended",
        "checkpoint_stored",
    ]
    data: JsonObject
    created_at: datetime


class LogLineRead(Answer):
    """One line of the training log."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.LOG_LINE]})

    number: int
    attempt: int
    level: str
    message: str
    created_at: datetime


class ArtifactRead(Answer):
    """A file that a job made."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.ARTIFACT]})

    name: str
    size_bytes: int
    sha256: str
    media_type: str
    url: str
