"""What a run tells while it runs: typed events, torch-free, ready to cross a process boundary."""

from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Discriminator, Field

from kdcore.report import Run
from kdcore.spec import DistillJob, TrainJob

Stage = Literal[
    "preparing", "teacher", "training", "control", "evaluating", "exporting", "uploading"
]


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StageStarted(_Event):
    """The job entered a stage; while it trains, so does each of its runs."""

    type: Literal["stage"] = "stage"
    stage: Stage
    run: Run | None = Field(default=None, description="What is trained; null if nothing is.")
    training_stage: str | None = Field(
        default=None, description="Of that run, as `training.stages` names it, such as `hint`."
    )
    step: int | None = Field(
        default=None, description="Optimizer steps of that run finished by then."
    )


class SpecResolved(_Event):
    """What the spec left open is decided: a run knows networks that nothing torch-free knows."""

    type: Literal["spec"] = "spec"
    spec: Annotated[TrainJob | DistillJob, Discriminator("kind")]


class Progress(_Event):
    """How far the job is. Sent about twice a second while training."""

    type: Literal["progress"] = "progress"
    run: Run
    training_stage: str = Field(description="Of that run, as `training.stages` names it.")
    fraction: float = Field(ge=0.0, le=1.0, description="Of all training steps of the job.")
    epoch: int = Field(description="Epochs finished in this run.")
    num_epochs: int
    step: int = Field(description="Optimizer steps finished in this run.")
    num_steps: int
    images_per_second: float
    eta_seconds: float
    loss: float | None = None
    accuracy: float | None = Field(default=None, description="Newest test accuracy of this run.")


class MetricPoint(_Event):
    """One value of one series."""

    name: str
    step: int
    value: float


class Metrics(_Event):
    """New points of one run's series. Values depend only on spec, data, seed and device."""

    type: Literal["metrics"] = "metrics"
    run: Run
    points: tuple[MetricPoint, ...]


class CheckpointSaved(_Event):
    """A checkpoint file is complete on disk."""

    type: Literal["checkpoint"] = "checkpoint"
    path: str
    sha256: str
    size_bytes: int
    run: Run
    training_stage: str
    step: int
    total_steps: int = Field(description="Steps finished over all runs of the job: rises only.")


class Resumed(_Event):
    """Training goes on from a checkpoint instead of from the start."""

    type: Literal["resumed"] = "resumed"
    run: Run
    training_stage: str | None = Field(description="null in checkpoints of older versions.")
    step: int
    total_steps: int = Field(description="Steps finished over all runs of the job.")


class LogLine(_Event):
    """A line for the training log."""

    type: Literal["log"] = "log"
    level: Literal["info", "warning"] = "info"
    message: str


RunEvent = Annotated[
    StageStarted | SpecResolved | Progress | Metrics | CheckpointSaved | Resumed | LogLine,
    Discriminator("type"),
]


class Reporter(Protocol):
    """Takes the events of a run as they happen. Must not block for long."""

    def __call__(self, event: RunEvent, /) -> None:
        """Take one event."""
