"""What the service answers: frozen models that ignore fields newer than themselves."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from kdcore.errors import Fault
from kdcore.progress import Stage
from kdcore.report import Run

JobStatus = Literal[
    "queued", "running", "pausing", "paused", "cancelling", "succeeded", "failed", "cancelled"
]
ValidationStatus = Literal["validating", "ready", "rejected"]
UploadPurpose = Literal["checkpoint", "dataset"]
DatasetFormat = Literal["image_folder_zip", "npz", "idx"]

ENDED: frozenset[JobStatus] = frozenset({"succeeded", "failed", "cancelled"})


class Resource(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(frozen=True, extra="ignore")


ItemT = TypeVar("ItemT", bound=Resource)


class Page(Resource, Generic[ItemT]):
    """Some items of a list; `next_cursor` asks for those after, and is None at the end."""

    items: tuple[ItemT, ...]
    next_cursor: str | None = None


class Rejection(Resource):
    """Why an uploaded file was refused; `details` name tensors, fields or entries."""

    code: str
    message: str
    details: tuple[str, ...] = ()


class UploadPart(Resource):
    """One part: its number from 1, where its bytes go, and (with what sha256) they arrived."""

    number: int
    url: str
    received: bool = False
    sha256: str | None = None


class Upload(Resource):
    """A file on its way into the service, or arrived (`stored`)."""

    id: str
    status: Literal["pending", "stored", "abandoned", "expired"]
    size_bytes: int
    part_size_bytes: int
    sha256: str | None = None
    parts: tuple[UploadPart, ...] = ()
    expires_at: datetime | None = None


class Layer(Resource):
    """A layer that can be tapped, with the shape of its output for one image."""

    name: str
    shape: tuple[int, ...]


class Model(Resource):
    """Weights that can teach once they are `ready`; `problem` says why they are not."""

    id: str
    name: str
    status: ValidationStatus
    problem: Rejection | None = None
    upload_id: str | None = None
    job_id: str | None = None
    # JSON of `kdcore.spec`, hence Any.
    architecture: dict[str, Any] | None = None
    input: dict[str, Any] | None = None
    num_classes: int | None = None
    class_names: tuple[str, ...] | None = None
    format: str | None = None
    parameters: int | None = None
    flops: int | None = None
    layers: tuple[Layer, ...] | None = None
    sha256: str | None = None
    created_at: datetime


class ImageShape(Resource):
    """Channels, and height and width in pixels."""

    channels: int
    height: int
    width: int


class SplitCounts(Resource):
    """How many images a split has, in all and for each class."""

    num_examples: int
    class_counts: tuple[int, ...]


class Dataset(Resource):
    """Images with labels that can be trained on once they are `ready`."""

    id: str
    name: str
    status: ValidationStatus
    builtin: bool = False
    problem: Rejection | None = None
    format: str | None = None
    image: ImageShape | None = None
    class_names: tuple[str, ...] | None = None
    splits: Mapping[str, SplitCounts] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    sha256: str | None = None


class MethodLayers(Resource):
    """Which layers a method compares; `fewest_places` is of the maps that it chooses itself."""

    chosen: str
    shapes: str
    fewest_places: int = 1


class MethodNeeds(Resource):
    """What a method works on; `layers` says which it compares, None if none."""

    min_teachers: int
    max_teachers: int
    labels: Literal["always", "if_ce_weight", "never"]
    mixes: bool = True
    layers: MethodLayers | None = None


class Method(Resource):
    """A published method; `json_schema` is that of its fields."""

    name: str
    title: str
    summary: str
    formula: str
    # JSON Schema, hence Any.
    json_schema: dict[str, Any]
    needs: MethodNeeds
    stages: tuple[str, ...] = ()
    # Any optimizer's fields, by stage.
    stage_optimizers: Mapping[str, dict[str, Any]] = {}


class JobProgress(Resource):
    """How far a job is; all but `fraction` and `eta_seconds` are of the current run."""

    fraction: float
    run: Run
    training_stage: str | None = None
    epoch: int
    num_epochs: int
    images_per_second: float
    eta_seconds: float
    loss: float | None = None
    accuracy: float | None = None


class JobError(Resource):
    """Why a job failed, and whose fault it is."""

    code: str
    message: str
    fault: Fault


class Attempt(Resource):
    """One worker's go at a job."""

    number: int
    worker: str | None = None
    device: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    exit_cause: str | None = None
    resumed_from_step: int | None = None


class Job(Resource):
    """A job as it stands. `spec` is the resolved one: `kdcore.spec.parse_job` reads it."""

    id: str
    kind: Literal["train", "distill", "evaluate"]
    name: str
    status: JobStatus
    stage: Stage | None = None
    progress: JobProgress | None = None
    spec: dict[str, Any]
    result: dict[str, Any] | None = None
    error: JobError | None = None
    attempts: tuple[Attempt, ...] = ()
    tags: Mapping[str, str] = Field(default_factory=dict)
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.status in ENDED


class JobEvent(Resource):
    """Something that happened to a job; numbers rise without gaps."""

    number: int
    type: str
    data: dict[str, Any] = Field(default_factory=dict)
    created_at: datetime

    @property
    def to_status(self) -> JobStatus | None:
        """The status that the job has from then on; None if this changed none."""
        return self.data.get("to_status")


class NetworkCost(Resource):
    """Size and cost of a network; FLOPs are of one image, 2 per multiply-add."""

    parameters: int | None = None
    flops: int | None = None


class ModelFacts(NetworkCost):
    """A teacher, as far as it is known."""

    model: str
    accuracy: float | None = None


class Estimate(Resource):
    """What a job will take; None where nothing is known."""

    memory_bytes_at_least: int | None = None
    checkpoint_copy_bytes: int | None = None
    image_bytes: int | None = None
    training_steps: int | None = None
    training_seconds: float | None = None


class Plan(Resource):
    """What a job would be. `spec` is the resolved one."""

    spec: dict[str, Any]
    teachers: tuple[ModelFacts, ...] = ()
    models: tuple[ModelFacts, ...] = ()
    student: NetworkCost | None = None
    network: NetworkCost | None = None
    estimate: Estimate
    warnings: tuple[str, ...] = ()


class MetricSeries(Resource):
    """One curve: `values[i]` was measured at optimizer step `steps[i]`."""

    name: str
    run: Run
    steps: tuple[int, ...]
    values: tuple[float, ...]


class Metrics(Resource):
    """The curves of a job."""

    series: tuple[MetricSeries, ...]


class LogLine(Resource):
    """One line of the training log."""

    number: int
    attempt: int
    level: str
    message: str
    created_at: datetime


class Artifact(Resource):
    """A file that a job made."""

    name: str
    size_bytes: int
    sha256: str
    media_type: str
    url: str


class ApiKey(Resource):
    """A key; `token` is only in the answer that made it."""

    id: str
    name: str
    role: Literal["admin", "member", "viewer"]
    created_at: datetime
    revoked_at: datetime | None = None
    token: str | None = None
