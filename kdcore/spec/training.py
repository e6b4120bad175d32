"""How a network is trained: length, optimizer, learning-rate schedule, precision, seed."""

from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, model_validator

from kdcore.spec.base import Integers, Numbers, SpecModel, problem

LearningRate = Annotated[float, Field(gt=0.0, le=100.0)]
WeightDecay = Annotated[float, Field(ge=0.0, le=10.0)]


class Sgd(SpecModel):
    """Stochastic gradient descent with momentum."""

    name: Literal["sgd"] = "sgd"
    learning_rate: LearningRate = 0.1
    momentum: float = Field(0.9, ge=0.0, lt=1.0)
    nesterov: bool = False
    weight_decay: WeightDecay = Field(0.0, description="L2 penalty added to the gradient.")

    @model_validator(mode="after")
    def _check_nesterov(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise problem(
                "nesterov_needs_momentum", "nesterov needs a momentum above 0.", field="nesterov"
            )
        return self


class _AdamFields(SpecModel):
    learning_rate: LearningRate = 1e-3
    betas: Numbers = (0.9, 0.999)
    epsilon: float = Field(1e-8, gt=0.0, le=1.0)

    @model_validator(mode="after")
    def _check_betas(self) -> Self:
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise problem(
                "betas_out_of_range", "betas are two numbers from 0 up to 1.", field="betas"
            )
        return self


class Adam(_AdamFields):
    """Kingma and Ba 2015 (arXiv:1412.6980)."""

    name: Literal["adam"] = "adam"
    weight_decay: WeightDecay = Field(0.0, description="L2 penalty added to the gradient.")


class AdamW(_AdamFields):
    """Loshchilov and Hutter 2019 (arXiv:1711.05101): weight decay apart from the gradient."""

    name: Literal["adamw"] = "adamw"
    weight_decay: WeightDecay = Field(0.01, description="Share of each weight taken, times lr.")


OptimizerSpec = Annotated[Sgd | Adam | AdamW, Discriminator("name")]


class _ScheduleFields(SpecModel):
    warmup_epochs: float = Field(
        0.0, ge=0.0, le=10_000.0, description="Epochs over which the rate rises linearly from 0."
    )


class ConstantSchedule(_ScheduleFields):
    """The learning rate stays as it is."""

    name: Literal["constant"] = "constant"


class StepSchedule(_ScheduleFields):
    """The learning rate is multiplied by `gamma` at each milestone."""

    name: Literal["step"] = "step"
    milestones: Integers = Field(description="Counted from 0 in `unit`, rising.")
    unit: Literal["epochs", "steps"] = Field("epochs", description="What milestones count.")
    gamma: float = Field(0.1, gt=0.0, le=1.0, description="Factor at each milestone.")

    @model_validator(mode="after")
    def _check_milestones(self) -> Self:
        if not self.milestones or list(self.milestones) != sorted(set(self.milestones)):
            raise problem(
                "milestones_not_rising",
                "Give at least one milestone, in rising order, each once.",
                field="milestones",
            )
        return self


class CosineSchedule(_ScheduleFields):
    """Half a cosine from the full rate to `final_fraction` of it (arXiv:1608.03983, no restart)."""

    name: Literal["cosine"] = "cosine"
    final_fraction: float = Field(0.0, ge=0.0, le=1.0, description="Share of the rate at the end.")


ScheduleSpec = Annotated[ConstantSchedule | StepSchedule | CosineSchedule, Discriminator("name")]


class StageSpec(SpecModel):
    """One stage of a method that has several; what is left out follows the rest of `training`."""

    stage: str = Field(min_length=1, max_length=64, description="The stage's name.")
    num_epochs: int | None = Field(
        None, ge=1, le=100_000, description="Length in passes over the transfer set."
    )
    num_steps: int | None = Field(
        None, ge=1, le=10**9, description="Length in optimizer steps, instead of num_epochs."
    )
    optimizer: OptimizerSpec | None = Field(
        None,
        description="Each stage begins with a new optimizer, whether named here or not; left out, "
        "it is the method's own for the stage if it has one, else that of training.",
    )
    schedule: ScheduleSpec | None = None

    @model_validator(mode="after")
    def _check_length(self) -> Self:
        if self.num_epochs is not None and self.num_steps is not None:
            raise problem(
                "two_lengths", "Give num_epochs or num_steps, not both.", field="num_steps"
            )
        return self


Stages = Annotated[tuple[StageSpec, ...], Field(strict=False, max_length=16)]


class TrainingSpec(SpecModel):
    """Length, batch size, optimizer, schedule, precision and seed of one training run."""

    num_epochs: int = Field(30, ge=1, le=100_000, description="Passes over the transfer set.")
    batch_size: int = Field(128, ge=1, le=65_536, description="Images a step.")
    optimizer: OptimizerSpec = Adam()
    schedule: ScheduleSpec = CosineSchedule()
    gradient_clip_norm: float | None = Field(
        None, gt=0.0, description="Gradients are scaled down to this norm; null leaves them."
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 where the device computes it in hardware."
    )
    seed: int = Field(0, ge=0, lt=2**31, description="Of initial weights, order, augmentation.")
    checkpoint_every_epochs: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="Epochs of a stage between checkpoints, besides those by time; null: by time "
        "alone. Checkpoints change no result.",
    )
    stages: Stages = Field(
        (), description="Overrides the stages that the method brings, by their names."
    )

    @model_validator(mode="after")
    def _check_stages_differ(self) -> Self:
        names = [stage.stage for stage in self.stages]
        if len(names) != len(set(names)):
            raise problem("stage_twice", "Name each stage at most once.", field="stages")
        return self

    @model_validator(mode="after")
    def _check_schedule_fits(self) -> Self:
        if self.schedule.warmup_epochs > self.num_epochs:
            raise problem(
                "warmup_too_long",
                f"warmup_epochs is longer than the {self.num_epochs} epochs of training.",
                field="schedule/warmup_epochs",
            )
        return self
