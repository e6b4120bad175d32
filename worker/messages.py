"""What worker and child say to each other: one order in, messages out, a line of JSON each."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, TypeAdapter

from kdcore.errors import Fault
from kdcore.manifest import ManifestAttempt
from kdcore.progress import RunEvent
from kdcore.report import Report
from kdcore.spec import Architecture, ImageInput, JobSpec, NetworkDescription

# Of `kdstore.tables.ExitCause`, those that the child itself can tell.
FailureCause = Literal[
    "user_error", "diverged", "out_of_memory", "timed_out", "disk_full", "system_error"
]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TeacherFiles(_Message):
    """A teacher as the child gets it: what it is, and its canonical weights on disk."""

    description: NetworkDescription
    weights: Path


class TrainOrder(_Message):
    """Train this job below `folder`; go on from a checkpoint if one lies there."""

    type: Literal["train"] = "train"
    spec: JobSpec
    dataset: Path
    transfer_dataset: Path | None = Field(
        None, description="What is learned from, if not the train split of `dataset`."
    )
    teachers: tuple[TeacherFiles, ...]
    folder: Path
    device: str
    num_threads: int
    memory_bytes: int | None = Field(
        None,
        description="Data of each process beyond what it has when the order comes; null: no limit.",
    )
    checkpoint_seconds: float
    job_id: str
    attempts: tuple[ManifestAttempt, ...] = Field(
        description="For the manifest: all so far, this one last."
    )


class RankOrder(_Message):
    """Train a job together with others, as number `rank` of `size`; rank 0 gives this order."""

    job: TrainOrder
    rank: int = Field(ge=1)
    size: int
    store: Path = Field(description="The file over which the ranks find one another.")


class IngestLimits(_Message):
    """What a process that reads a stranger's file may take."""

    memory_bytes: int = Field(description="Data beyond what the process has when it starts.")
    file_bytes: int = Field(description="Of any one file that it writes.")
    cpu_seconds: int = Field(description="Of all its threads; the process ends itself.")
    wall_seconds: float = Field(description="The worker ends it.")


class DeclaredNetwork(_Message):
    """What was said of a network; the number of classes is read from its weights if left out."""

    architecture: Architecture
    input: ImageInput
    class_names: tuple[str, ...] = ()
    num_classes: int | None = None


class ModelOrder(_Message):
    """Check a stranger's weights, and write them as our own safetensors at `destination`."""

    type: Literal["model"] = "model"
    source: Path
    declared: DeclaredNetwork
    destination: Path
    limits: IngestLimits


class DatasetOrder(_Message):
    """Check a stranger's dataset, and write it as a canonical folder at `destination`.

    A small picture of each class goes to `thumbnails`.
    """

    type: Literal["dataset"] = "dataset"
    source: Path
    format: str
    name: str
    class_names: tuple[str, ...]
    destination: Path
    thumbnails: Path
    limits: IngestLimits
    max_bytes: int = Field(description="Of the pixels, and of what the file unpacks to.")
    max_decoders: int = Field(ge=1, description="Processes that may decode images beside it.")


class BuiltinOrder(_Message):
    """Write a built-in dataset as a canonical folder, and thumbnails, as for a stranger's."""

    type: Literal["builtin"] = "builtin"
    name: str
    destination: Path
    thumbnails: Path
    limits: IngestLimits


IngestOrder = Annotated[ModelOrder | DatasetOrder | BuiltinOrder, Discriminator("type")]


class Ready(_Message):
    """The child has loaded everything and waits for its order."""

    type: Literal["ready"] = "ready"
    device: str = Field(description="Where it would train: cpu, cuda, cuda:1.")
    num_gpus: int = Field(0, description="GPUs that one job can have there.")


class ArtifactFile(_Message):
    """A file that a finished job leaves."""

    name: str
    path: Path
    sha256: str
    size_bytes: int
    media_type: str


class Finished(_Message):
    """The job is done; its files are complete on disk."""

    type: Literal["finished"] = "finished"
    report: Report
    artifacts: tuple[ArtifactFile, ...]


class Failed(_Message):
    """The job cannot go on, and why."""

    type: Literal["failed"] = "failed"
    code: str
    message: str
    fault: Fault
    cause: FailureCause
    pointer: str = ""


class Stopped(_Message):
    """Training stopped because it was asked to; a checkpoint has everything."""

    type: Literal["stopped"] = "stopped"
    step: int


class Layer(_Message):
    """A layer that can be tapped, and the shape of its output for one image."""

    name: str
    shape: tuple[int, ...]


class ModelAccepted(_Message):
    """The weights fit; they are written as the order said."""

    type: Literal["model_accepted"] = "model_accepted"
    description: NetworkDescription
    format: str
    parameters: int
    flops: int
    layers: tuple[Layer, ...]


class ThumbnailFile(_Message):
    """A PNG of one class, `<label as four digits>.png` in the folder that the order named."""

    label: int = Field(ge=0, lt=10_000)
    class_name: str

    @property
    def name(self) -> str:
        """The file's name; never one that a reader chose."""
        return f"{self.label:04}.png"


class DatasetAccepted(_Message):
    """The dataset is usable; its canonical folder is written as the order said."""

    type: Literal["dataset_accepted"] = "dataset_accepted"
    thumbnails: tuple[ThumbnailFile, ...]


class Rejected(_Message):
    """The file is refused, and why; `details` names tensors, fields or entries."""

    type: Literal["rejected"] = "rejected"
    code: str
    message: str
    details: tuple[str, ...] = ()


Message = Annotated[
    RunEvent | Ready | Finished | Failed | Stopped | ModelAccepted | DatasetAccepted | Rejected,
    Discriminator("type"),
]

MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)
INGEST_ORDER: TypeAdapter[IngestOrder] = TypeAdapter(IngestOrder)
