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


class RandAugment(SpecModel):
    """Cubuk et al. 2019 (arXiv:1909.13719): shift and mirror as `crop`, then random operations.

    Each operation is drawn from identity, autocontrast, equalize, solarize, posterize,
    brightness, contrast, color, sharpness, rotate, shear and translate along x and y.
    """

    name: Literal["randaugment"] = "randaugment"
    num_ops: int = Field(2, ge=1, le=4, description="Operations on each image.")
    magnitude: int = Field(9, ge=0, le=30, description="Strength of the operations, of 30.")
    padding: int = Field(4, ge=0, le=64, description="Largest shift in pixels; 0 for none.")
    flip: bool = Field(True, description="Mirror left to right with probability 1/2.")


AugmentationSpec = Annotated[
    NoAugmentation | Jitter | Crop | Flip | RandAugment, Discriminator("name")
]


class NoMix(SpecModel):
    """Every image on its own."""

    name: Literal["none"] = "none"


class _MixFields(SpecModel):
    alpha: float = Field(
        1.0,
        ge=0.01,
        le=100.0,
        description="The share of an image's own is drawn from Beta(alpha, alpha); 1 is uniform, "
        "less leaves most images nearly their own.",
    )
    probability: float = Field(1.0, gt=0.0, le=1.0, description="Share of images that are mixed.")


class Mixup(_MixFields):
    """Zhang et al. 2018 (arXiv:1710.09412): add up two images, and their labels, by shares."""

    name: Literal["mixup"] = "mixup"


class CutMix(_MixFields):
    """Yun et al. 2019 (arXiv:1905.04899): paste a box of another image; labels by area."""

    name: Literal["cutmix"] = "cutmix"


MixSpec = Annotated[NoMix | Mixup | CutMix, Discriminator("name")]


class TransferSpec(SpecModel):
    """The images that training uses: a train split, or a part of it."""

    dataset: str | None = Field(
        None,
        min_length=1,
        max_length=128,
        description="Id of another dataset, or a built-in's name, whose train split is learned "
        "from; null for the job's own. Its images have the shape of the job's; its classes are "
        "the same unless it is used unlabelled. Evaluation stays on the job's dataset.",
    )
    exclude_classes: Integers = Field(
        (), description="Labels left out of training; evaluation keeps them."
    )
    fraction: float = Field(
        1.0, gt=0.0, le=1.0, description="Share of each class that is used, drawn by the seed."
    )
    validation_fraction: float = Field(
        0.0,
        ge=0.0,
        le=0.5,
        description="Share of each class of the job's dataset's train split that no run ever "
        "trains on, drawn by the seed: for choices that must not look at the test split.",
    )
    unlabeled: bool = Field(
        False, description="Use no label: only the teacher's term; needs ce_weight 0."
    )
    augmentation: AugmentationSpec = NoAugmentation()
    mix: MixSpec = Field(
        NoMix(),
        description="Mixes augmented images in pairs; teacher, student and control see the same.",
    )
