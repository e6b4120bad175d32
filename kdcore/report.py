"""The evaluation report, as api.md promises it: what each network scores, weighs and costs.

Torch-free. Accuracies, agreement and errors are shares or counts over a split; cross-entropy and
KL are means in nats; latency is in milliseconds.
"""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Run = Annotated[
    str,
    Field(
        pattern=r"^(teacher|student|control|network|ensemble|(teacher|assistant|generation|peer|network)_[1-9]\d?)$",
        description="A network of the job: what it trains, its teacher, the control, and others "
        "of a kind by number, such as `assistant_1`.",
    ),
]

_KINDS = (
    "teacher",
    "assistant",
    "generation",
    "student",
    "control",
    "network",
    "peer",
    "ensemble",
)


def kind_of(run: Run) -> str:
    """The kind of a network: `assistant` of `assistant_1`."""
    return run.partition("_")[0]


def in_report_order(runs: Iterable[Run]) -> tuple[Run, ...]:
    """Sort networks as tables and charts show them: from the teachers to the control."""

    def place(run: Run) -> tuple[int, int]:
        number = run.partition("_")[2]
        return _KINDS.index(kind_of(run)), int(number or 0)

    return tuple(sorted(runs, key=place))


class _ReportModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Confusion(_ReportModel):
    """How often images of one class are taken for another; labels count from 0."""

    label: int
    predicted: int
    num_examples: int
    share: float = Field(description="Of the examples of the true class.")


class SplitScores(_ReportModel):
    """What one network scores on one split."""

    num_examples: int
    num_errors: int
    accuracy: float = Field(description="Share of examples whose largest logit is the label's.")
    accuracy_top5: float | None = Field(description="null with five classes or fewer.")
    per_class_accuracy: tuple[float | None, ...] = Field(
        description="In label order; null for a class with no example."
    )
    per_class_num_examples: tuple[int, ...] = Field(default=(), description="In label order.")
    confusion_matrix: tuple[tuple[int, ...], ...] | None = Field(
        description="Row: true label. Column: predicted label. null with more than 500 classes."
    )
    most_confused: tuple[Confusion, ...] = Field(
        default=(), description="At most 100, most frequent first; equal ones in label order."
    )
    cross_entropy: float = Field(description="Mean over examples, nats.")
    expected_calibration_error: float = Field(
        description="15 equal-width bins of the largest probability (Guo et al. 2017)."
    )
    agreement: float | None = Field(
        default=None, description="Share of examples with the teacher's own prediction."
    )
    kl_to_teacher: float | None = Field(
        default=None, description="Mean KL(teacher || this network) at T=1, nats."
    )


class Latency(_ReportModel):
    """Time of one forward pass of one batch."""

    batch_size: int
    median_ms: float
    p95_ms: float
    num_repeats: int = Field(description="Passes timed; fewer for slow networks.")
    device: str
    num_threads: int


class NetworkReport(_ReportModel):
    """One column of the report."""

    splits: dict[str, SplitScores]
    parameters: int
    megaflops: float = Field(
        description="Of one image; 2 per multiply-add in convolutions and linear layers."
    )
    size_bytes: int = Field(description="Of the weights as safetensors.")
    latency: tuple[Latency, ...] = ()
    balanced_accuracy_beforehand: float | None = Field(
        default=None,
        description="Of a teacher: its accuracy on up to 2,000 images of the train split, the mean "
        "over classes, measured before training. null where it was not measured.",
    )


class Difference(_ReportModel):
    """Student minus control on one split: what the teacher was worth."""

    num_errors: int
    accuracy: float
    cross_entropy: float
    expected_calibration_error: float


class MeanScores(_ReportModel):
    """Means over networks of what each scores on one split."""

    num_errors: float
    accuracy: float
    cross_entropy: float
    expected_calibration_error: float


class CalibrationReport(_ReportModel):
    """Class biases shifted after training: by how much, and what networks scored before.

    The report's columns hold what they score after.
    """

    rule: Literal["fixed", "match_prior", "best_on_validation"]
    offsets: dict[Run, tuple[float, ...]] = Field(
        description="Added to the biases, in label order; by network."
    )
    before: dict[Run, dict[str, SplitScores]] = Field(
        description="Scores without the offsets, by network and split."
    )


class StageReport(_ReportModel):
    """One stage of a run's training."""

    name: str = Field(description="As `training.stages` names it.")
    first_step: int = Field(description="The run's optimizer step with which it begins, from 0.")
    num_steps: int


class Environment(_ReportModel):
    """Where and with what a job ran."""

    device: str
    device_name: str
    num_threads: int
    precision: str
    seed: int
    versions: dict[str, str]
    revision: str | None = Field(description="Git revision of Potstill, if known.")


class Report(_ReportModel):
    """The whole evaluation of a finished job."""

    kind: Literal["train", "distill", "evaluate"]
    dataset: str | None = Field(
        None, description="What all networks are measured on; null in reports of older versions."
    )
    transfer_dataset: str | None = Field(
        None, description="What was learned from; null for the train split of `dataset`."
    )
    columns: dict[Run, NetworkReport]
    difference: dict[str, Difference] | None = Field(
        default=None, description="Per split, student minus control; null without a control."
    )
    calibration: CalibrationReport | None = Field(
        default=None, description="null where class biases are as training left them."
    )
    mean_of_networks: dict[str, MeanScores] | None = Field(
        default=None,
        description="Per split, the unweighted mean of what several evaluated networks score "
        "alone; the column `ensemble` is what they score together.",
    )
    stages: dict[Run, tuple[StageReport, ...]] = Field(
        default_factory=dict,
        description="How each network was trained, in order; empty where nothing was trained, and "
        "in reports of older versions.",
    )
    evaluated_weights: Literal["last_epoch", "as_given"] = Field(
        default="last_epoch", description="`as_given` where nothing was trained."
    )
    class_names: tuple[str, ...]
    environment: Environment
