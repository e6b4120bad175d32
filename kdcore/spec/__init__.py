"""The one definition of a job and of a network: frozen Pydantic models, free of torch."""

from kdcore.spec.architectures import (
    Architecture,
    Cnn,
    CnnLayer,
    Mlp,
    ResnetCifar,
    TorchvisionClassifier,
    Wrn,
)
from kdcore.spec.datasets import DatasetDescription, ImageShape, SplitDescription, SplitName
from kdcore.spec.jobs import (
    DistillJob,
    EvaluationSpec,
    ExportFormat,
    JobSpec,
    Limits,
    TeacherReference,
    TrainJob,
)
from kdcore.spec.methods import LogitKd, LogitMatching, MethodSpec, Rkd
from kdcore.spec.networks import ImageInput, NetworkDescription
from kdcore.spec.parse import parse_image_input, parse_job, parse_network
from kdcore.spec.training import (
    Adam,
    AdamW,
    ConstantSchedule,
    CosineSchedule,
    OptimizerSpec,
    ScheduleSpec,
    Sgd,
    StepSchedule,
    TrainingSpec,
)
from kdcore.spec.transfer import (
    AugmentationSpec,
    Crop,
    Flip,
    Jitter,
    NoAugmentation,
    TransferSpec,
)

__all__ = [
    "Adam",
    "AdamW",
    "Architecture",
    "AugmentationSpec",
    "Cnn",
    "CnnLayer",
    "ConstantSchedule",
    "CosineSchedule",
    "Crop",
    "DatasetDescription",
    "DistillJob",
    "EvaluationSpec",
    "ExportFormat",
    "Flip",
    "ImageInput",
    "ImageShape",
    "Jitter",
    "JobSpec",
    "Limits",
    "LogitKd",
    "LogitMatching",
    "MethodSpec",
    "Mlp",
    "NetworkDescription",
    "NoAugmentation",
    "OptimizerSpec",
    "ResnetCifar",
    "Rkd",
    "ScheduleSpec",
    "Sgd",
    "SplitDescription",
    "SplitName",
    "StepSchedule",
    "TeacherReference",
    "TorchvisionClassifier",
    "TrainJob",
    "TrainingSpec",
    "TransferSpec",
    "Wrn",
    "parse_image_input",
    "parse_job",
    "parse_network",
]
