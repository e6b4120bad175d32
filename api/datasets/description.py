"""What a dataset's row says of it: the part of kdcore's DatasetDescription that the API needs.

kdcore.data is not torch-free, so its class is not used here.
"""

from pydantic import BaseModel, ConfigDict

from kdcore.compatibility import DatasetFacts
from kdcore.spec import ImageInput
from kdstore.tables import Dataset


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class DescribedImage(_Part):
    """The one size of all images; height and width in pixels."""

    channels: int
    height: int
    width: int


class DescribedSplit(_Part):
    """How many images a split has; `class_counts` by label."""

    num_examples: int
    class_counts: tuple[int, ...]


class DatasetDescription(_Part):
    """A canonical dataset, as ingest described it."""

    class_names: tuple[str, ...]
    image: DescribedImage
    splits: dict[str, DescribedSplit]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def image_input(self) -> ImageInput:
        """The input of a network that is trained on these images."""
        return ImageInput(
            channels=self.image.channels,
            height=self.image.height,
            width=self.image.width,
            mean=self.mean,
            std=self.std,
        )

    @property
    def facts(self) -> DatasetFacts:
        """What decides whether a job fits."""
        return DatasetFacts(
            shape_CHW=(self.image.channels, self.image.height, self.image.width),
            class_names=self.class_names,
            train_counts=self.splits["train"].class_counts,
            splits=tuple(self.splits),
        )

    @property
    def size_bytes(self) -> int:
        """Of all images as uint8, which is how training holds them."""
        pixels = self.image.channels * self.image.height * self.image.width
        return pixels * sum(split.num_examples for split in self.splits.values())


def description_of(dataset: Dataset) -> DatasetDescription | None:
    """Read the description of a dataset that is ready; None before."""
    if dataset.description is None:
        return None
    return DatasetDescription.model_validate(dataset.description)
