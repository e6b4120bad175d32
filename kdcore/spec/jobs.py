"""A job: the one definition that api, worker, client and library share."""

from collections.abc import Mapping, Sized
from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, model_validator

from kdcore.spec.architectures import Architecture
from kdcore.spec.base import SpecModel, problem
from kdcore.spec.bookkeeping import JobFields
from kdcore.spec.calibration import BestOnValidation, CalibrationSpec, NoCalibration
from kdcore.spec.evaluation import EvaluateJob, EvaluationSpec
from kdcore.spec.methods import LogitKd, MethodSpec, SelfDistillation
from kdcore.spec.methods.base import MAX_TEACHERS
from kdcore.spec.stages import SINGLE_STAGE, check_stages
from kdcore.spec.training import TrainingSpec
from kdcore.spec.transfer import NoMix, TransferSpec

ExportFormat = Literal["safetensors", "onnx", "torch_export"]
TeacherAverage = Literal["probabilities", "logits"]


class TeacherReference(SpecModel):
    """A model that teaches."""

    model: str = Field(min_length=1, max_length=128, description="Id of a model that is ready.")
    weight: float = Field(1.0, gt=0.0, le=1e6, description="Its share among several teachers.")


class _TrainingFields(JobFields):
    transfer: TransferSpec = TransferSpec()
    training: TrainingSpec = TrainingSpec()
    evaluation: EvaluationSpec = EvaluationSpec()
    exports: Annotated[tuple[ExportFormat, ...], Field(strict=False)] = (
        "safetensors",
        "onnx",
        "torch_export",
    )

    @property
    def datasets(self) -> tuple[str, ...]:
        """Every dataset that the job reads, its own first."""
        other = self.transfer.dataset
        return (self.dataset,) if other is None else (self.dataset, other)

    @model_validator(mode="after")
    def _check_transfer_dataset(self) -> Self:
        if self.transfer.dataset == self.dataset:
            raise problem(
                "same_dataset",
                "transfer.dataset is the job's own dataset; leave it out.",
                field="transfer/dataset",
            )
        return self

    @model_validator(mode="after")
    def _check_processes_have_images(self) -> Self:
        num_processes, batch_size = self.resources.num_processes, self.training.batch_size
        if batch_size < num_processes:
            raise problem(
                "batch_smaller_than_processes",
                f"{num_processes} processes cannot share a batch of {batch_size}; raise "
                "training.batch_size, or ask for fewer processes.",
                field="resources/num_processes",
            )
        return self


class TrainJob(_TrainingFields):
    """Train one network on labels alone: a future teacher, or any network."""

    kind: Literal["train"] = "train"
    network: Architecture = Field(description="The network to train.")

    @model_validator(mode="after")
    def _check_transfer(self) -> Self:
        if self.transfer.unlabeled:
            raise problem(
                "unlabeled_needs_teacher",
                "Training without a teacher learns from labels; set transfer.unlabeled to false.",
                field="transfer/unlabeled",
            )
        return self

    @model_validator(mode="after")
    def _check_stages(self) -> Self:
        check_stages(SINGLE_STAGE, self.training)
        return self


class DistillJob(_TrainingFields):
    """Train a student under a teacher and, with `control`, the same student without one."""

    kind: Literal["distill"] = "distill"
    teachers: Annotated[tuple[TeacherReference, ...], Field(strict=False)] = Field(
        (), max_length=MAX_TEACHERS, description="As many as the method takes; most take one."
    )
    teacher_average: TeacherAverage | None = Field(
        None,
        description="What of several teachers is averaged, by their weights: `probabilities` at "
        "the method's temperature, or `logits`. null with one teacher; with several it stands for "
        "`logits` under logit_matching, else for `probabilities`.",
    )
    on_weak_teacher: Literal["refuse", "warn"] = Field(
        "refuse",
        description="What becomes of a teacher that is near chance on the train split, mostly "
        "because its classes are in another order: `refuse` ends the job before it trains.",
    )
    assistants: Annotated[tuple[Architecture, ...], Field(strict=False)] = Field(
        (),
        max_length=3,
        description="Networks of sizes in between (Mirzadeh et al. 2020, arXiv:1902.03393): the "
        "first learns from the teachers, each other one from the one before, the student from the "
        "last; each with the whole budget. For methods that take several teachers.",
    )
    student: Architecture = Field(description="The network that learns from the teacher.")
    method: MethodSpec = LogitKd()
    control: bool = Field(
        True, description="Also train the student without teacher: same weights, order, budget."
    )
    calibration: CalibrationSpec = Field(
        NoCalibration(), description="How class biases are shifted after training, of each run."
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_teacher_average(cls, data: object) -> object:
        if not isinstance(data, Mapping) or data.get("teacher_average") is not None:
            return data
        teachers, method = data.get("teachers"), data.get("method")
        if not isinstance(teachers, Sized) or len(teachers) < 2:
            return data
        name = method.get("name") if isinstance(method, Mapping) else getattr(method, "name", None)
        average = "logits" if name == "logit_matching" else "probabilities"
        return {**data, "teacher_average": average}

    @model_validator(mode="after")
    def _check_num_teachers(self) -> Self:
        given, (fewest, most) = len(self.teachers), self.method.NUM_TEACHERS
        if fewest <= given <= most:
            return self
        if "teachers" not in self.model_fields_set:
            raise problem("field_missing", "This field is required.", field="teachers")
        raise problem(
            "too_short" if given < fewest else "too_long",
            f"{self.method.name} takes {_count_of_teachers(fewest, most)}, not {given}.",
            field="teachers",
        )

    @model_validator(mode="after")
    def _check_assistants(self) -> Self:
        if self.assistants and self.method.NUM_TEACHERS[1] < 2:
            raise problem(
                "assistants_without_use",
                "Assistants stand between a student and a teacher of which nothing but logits is "
                f"read, and {self.method.name} is not such a method; leave assistants out.",
                field="assistants",
            )
        return self

    @model_validator(mode="after")
    def _check_generations(self) -> Self:
        if isinstance(self.method, SelfDistillation) and not self.control:
            raise problem(
                "control_is_generation_0",
                "Under self_distillation the control is generation 0, the first teacher; set "
                "control to true.",
                field="control",
            )
        return self

    @model_validator(mode="after")
    def _check_teacher_average(self) -> Self:
        if self.teacher_average is not None and len(self.teachers) < 2:
            raise problem(
                "needs_several_teachers",
                "teacher_average means nothing without a second teacher; leave it out.",
                field="teacher_average",
            )
        return self

    @model_validator(mode="after")
    def _check_stages(self) -> Self:
        check_stages(self.method.STAGES, self.training)
        return self

    @model_validator(mode="after")
    def _check_unlabeled(self) -> Self:
        if self.transfer.unlabeled and not self.teachers:
            raise problem(
                "unlabeled_needs_teacher",
                f"{self.method.name} has no teacher and learns from labels; set "
                "transfer.unlabeled to false.",
                field="transfer/unlabeled",
            )
        if self.transfer.unlabeled and self.method.NEEDS_LABELS:
            raise problem(
                "unlabeled_needs_no_labels",
                f"{self.method.name} learns from labels; set transfer.unlabeled to false, or take "
                "another method.",
                field="transfer/unlabeled",
            )
        if self.transfer.unlabeled and self.method.ce_weight > 0:
            raise problem(
                "unlabeled_needs_no_labels",
                "transfer.unlabeled uses no label; set method.ce_weight to 0.",
                field="method/ce_weight",
            )
        if self.transfer.unlabeled and self.control:
            raise problem(
                "control_needs_labels",
                "The control learns from labels; set control to false, or unlabeled to false.",
                field="control",
            )
        return self

    @model_validator(mode="after")
    def _check_mix(self) -> Self:
        if not self.method.TAKES_MIXES and not isinstance(self.transfer.mix, NoMix):
            raise problem(
                "mix_without_meaning",
                f"method.name is {self.method.name}, which tells images apart one by one, and "
                f"transfer.mix is {self.transfer.mix.name}, which makes one of two; leave "
                "transfer.mix out, or take another method.",
                field="transfer/mix",
            )
        return self

    @model_validator(mode="after")
    def _check_calibration(self) -> Self:
        if not isinstance(self.calibration, BestOnValidation):
            return self
        if not self.calibration.moved(self.transfer.exclude_classes):
            raise problem(
                "nothing_to_calibrate",
                "No class is left out, so name the labels whose biases are to move.",
                field="calibration/classes",
            )
        if not self.transfer.validation_fraction:
            raise problem(
                "calibration_needs_validation",
                "This rule measures on images held out of training; set "
                "transfer.validation_fraction above 0, such as 0.1.",
                field="transfer/validation_fraction",
            )
        return self


def _count_of_teachers(fewest: int, most: int) -> str:
    if not most:
        return "no teacher"
    if fewest == most:
        return "1 teacher" if most == 1 else f"{most} teachers"
    return f"{fewest} to {most} teachers"


AnyJob = TrainJob | DistillJob | EvaluateJob
JobSpec = Annotated[AnyJob, Discriminator("kind")]


def networks_of(job: AnyJob) -> tuple[str, ...]:
    """Give the ids of the models that a job needs: its teachers, or those that it evaluates."""
    match job:
        case DistillJob():
            return tuple(reference.model for reference in job.teachers)
        case EvaluateJob():
            return tuple(member.model for member in job.models)
        case TrainJob():
            return ()
