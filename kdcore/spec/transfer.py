"""What of the dataset the student sees, and how its images are varied."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field

from kdcore.spec.base import Integers, SpecModel


class NoAugmentation(SpecModel):
    """Every image as it is."""

    name: Literal["none"] = "none"


class Jitter(SpecModel):
    """Shift by up to `pixels` in each direction, uniformly; what comes in is 0."""

    name: Literal["jitter"] = "jitter"
    pixels: int = Field(2, ge=1, le=64, description="Largest shift in pixels.")


class Crop(SpecModel):
    """Pad with zeros, cut a window of the original size at random, mirror half of them."""

    name: Literal["crop"] = "crop"
    padding: int = Field(4, ge=1, le=64, description="Pixels added on each side.")
    flip: bool = Field(True, description="Mirror left to right with probability 1/2.")


class Flip(SpecModel):
    """Mirror left to right with probability 1/2."""

    name: Literal["flip"] = "flip"


AugmentationSpec = Annotated[NoAugmentation | Jitter | Crop | Flip, Discriminator("name")]


class TransferSpec(SpecModel):
    """The images that training uses, out of the dataset's train split."""

    exclude_classes: Integers = Field(
        (), description="Labels left out of training; evaluation keeps them."
    )
    fraction: float = Field(
        1.0, gt=0.0, le=1.0, description="Share of each class that is used, drawn by the seed."
    )
    unlabeled: bool = Field(
        False, description="Use no label: only the teacher's term; needs ce_weight 0."
    )
    augmentation: AugmentationSpec = NoAugmentation()
