"""Shifting class biases after training, so that classes the student has not seen are answered."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from kdcore.spec.base import Integers, Numbers, SpecModel, problem

# The farthest a given offset may move a logit: its softmax then rules out every other class.
_LARGEST_OFFSET = 1e4
_SUM_TOLERANCE = 1e-6


def _form_of_prior(value: object) -> str:
    return "name" if isinstance(value, str) else "shares"


Prior = Annotated[
    Annotated[Literal["train", "uniform"], Tag("name")] | Annotated[Numbers, Tag("shares")],
    Discriminator(_form_of_prior),
]


class NoCalibration(SpecModel):
    """Leave the class biases as training left them."""

    rule: Literal["none"] = "none"


class ClassOffset(SpecModel):
    """What is added to the bias of one class."""

    label: int = Field(ge=0, description="The class's label, from 0.")
    offset: float = Field(
        ge=-_LARGEST_OFFSET, le=_LARGEST_OFFSET, description="Added to the class's logit."
    )


class FixedOffsets(SpecModel):
    """Add given numbers to the biases of some classes, as Hinton et al. 2015 do with +3.5."""

    rule: Literal["fixed"] = "fixed"
    offsets: Annotated[tuple[ClassOffset, ...], Field(strict=False)] = Field(
        min_length=1, description="The classes that move; each at most once."
    )

    @model_validator(mode="after")
    def _check_labels_differ(self) -> Self:
        labels = [one.label for one in self.offsets]
        if len(labels) != len(set(labels)):
            raise problem("label_twice", "Give each label at most one offset.", field="offsets")
        return self


class MatchPrior(SpecModel):
    """Find the offsets with which the mean p(class) over unlabelled images is the class prior.

    Looks at no label of any image and at no image of the test split.
    """

    rule: Literal["match_prior"] = "match_prior"
    images: Literal["train", "transfer"] = Field(
        "train",
        description="The whole train split, left-out classes included, or only those of its "
        "images that the student learned from. A left-out class is not among the latter, so give "
        "`prior` the share it is to have there: at that of the train split it takes others' "
        "images.",
    )
    prior: Prior = Field(
        "train",
        description="How frequent the classes are among such images: as in the train split, all "
        "alike, or a share for each label, above 0 and adding up to 1.",
    )
    classes: Integers = Field((), description="Labels whose biases move; empty for all.")

    @model_validator(mode="after")
    def _check_prior(self) -> Self:
        if isinstance(self.prior, str):
            return self
        total = math.fsum(self.prior)
        if any(share <= 0 for share in self.prior) or abs(total - 1) > _SUM_TOLERANCE:
            raise problem(
                "prior_is_no_distribution",
                "prior gives every class a share above 0, and the shares add up to 1, not "
                f"{total}.",
                field="prior",
            )
        return self

    def shares(self, train_counts: Sequence[int]) -> tuple[float, ...]:
        """Give the prior of each class, of a dataset with so many train examples a class."""
        match self.prior:
            case "train":
                return tuple(count / sum(train_counts) for count in train_counts)
            case "uniform":
                return (1 / len(train_counts),) * len(train_counts)
            case given:
                return tuple(given)

    def moved(self, num_classes: int) -> tuple[int, ...]:
        """Give the labels whose biases move, rising."""
        return tuple(sorted(set(self.classes))) or tuple(range(num_classes))


class BestOnValidation(SpecModel):
    """Find the offsets with which most of the validation hold-out is right.

    The hold-out is `transfer.validation_fraction` of the train split, which no run trains on.
    """

    rule: Literal["best_on_validation"] = "best_on_validation"
    classes: Integers = Field(
        (), description="Labels whose biases move; empty for transfer.exclude_classes."
    )

    def moved(self, exclude_classes: Sequence[int]) -> tuple[int, ...]:
        """Give the labels whose biases move, rising."""
        return tuple(sorted(set(self.classes or exclude_classes)))


CalibrationSpec = Annotated[
    NoCalibration | FixedOffsets | MatchPrior | BestOnValidation, Discriminator("rule")
]
