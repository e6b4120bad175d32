"""What a dataset is, in numbers: the content of `dataset.json`. Free of torch and numpy."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from kdcore.spec.base import Integers, Names, Numbers, SpecModel, problem
from kdcore.spec.networks import MAX_CLASSES, ImageInput

SplitName = Literal["train", "test"]
SPLIT_NAMES: tuple[SplitName, ...] = ("train", "test")
MAX_SIDE = 4096  # as ImageInput allows
MAX_CHANNELS = 16

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ImageShape(SpecModel):
    """The one size that all images of a dataset have."""

    channels: int = Field(ge=1, le=MAX_CHANNELS, description="1 for grey, 3 for RGB.")
    height: int = Field(ge=1, le=MAX_SIDE, description="Pixels.")
    width: int = Field(ge=1, le=MAX_SIDE, description="Pixels.")


class ShardDescription(SpecModel):
    """Size and digest of one of the files that a split's images are spread over."""

    num_examples: int = Field(ge=1)
    sha256: Digest = Field(description="Of its pixels, as of the whole.")


Shards = Annotated[tuple[ShardDescription, ...], Field(strict=False)]


class SplitDescription(SpecModel):
    """Size and digests of one split."""

    num_examples: int = Field(ge=1)
    class_counts: Integers = Field(description="Examples of each class, in label order.")
    images_sha256: Digest = Field(
        description="Of the pixels: uint8, examples x height x width x channels, C order."
    )
    labels_sha256: Digest = Field(description="Of the labels: little-endian int64.")
    num_skipped: int = Field(
        0, ge=0, description="Images left out because they could not be decoded."
    )
    # Left out where it says nothing, so that such a split is described as it always was.
    shards: Shards = Field(
        (),
        exclude_if=lambda shards: not shards,
        description="Of the images, in order; none where one file holds them all.",
    )

    @model_validator(mode="after")
    def _check_shards_add_up(self) -> Self:
        if self.shards and sum(each.num_examples for each in self.shards) != self.num_examples:
            raise problem(
                "shards_sum",
                f"The shards do not add up to {self.num_examples} examples.",
                field="shards",
            )
        return self


class DatasetDescription(SpecModel):
    """A canonical dataset: classes, image shape, both splits, and statistics of the train split."""

    name: str = Field(max_length=200)
    class_names: Annotated[Names, Field(min_length=2, max_length=MAX_CLASSES)] = Field(
        description="Name of each label, in label order."
    )
    image: ImageShape
    splits: dict[SplitName, SplitDescription]
    mean: Numbers = Field(description="Per channel over the train split, of values in [0, 1].")
    std: Numbers = Field(
        description="Per channel over the train split, of values in [0, 1]; population standard "
        "deviation, 1 for a channel that never varies."
    )

    @model_validator(mode="after")
    def _check_parts_agree(self) -> Self:
        if set(self.splits) != set(SPLIT_NAMES):
            raise problem("splits_incomplete", "Both splits are needed.", field="splits")
        for name, split in self.splits.items():
            if len(split.class_counts) != self.num_classes:
                raise problem(
                    "class_counts_length",
                    f"Give one count for each of the {self.num_classes} classes.",
                    field=f"splits/{name}/class_counts",
                )
            if sum(split.class_counts) != split.num_examples:
                raise problem(
                    "class_counts_sum",
                    f"The counts do not add up to {split.num_examples} examples.",
                    field=f"splits/{name}/class_counts",
                )
        if not len(self.mean) == len(self.std) == self.image.channels:
            raise problem(
                "normalisation_length",
                f"Give one mean and std for each of the {self.image.channels} channels.",
                field="mean",
            )
        return self

    @property
    def num_classes(self) -> int:
        """How many labels there are: 0 up to this number."""
        return len(self.class_names)

    @property
    def image_input(self) -> ImageInput:
        """The input of a network for these images, normalised by the train split's statistics."""
        return ImageInput(
            channels=self.image.channels,
            height=self.image.height,
            width=self.image.width,
            mean=self.mean,
            std=self.std,
        )
