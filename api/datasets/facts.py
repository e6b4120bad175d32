"""What the API needs of a dataset's description."""

from kdcore.compatibility import DatasetFacts
from kdcore.spec import DatasetDescription
from kdstore.tables import Dataset


def description_of(dataset: Dataset) -> DatasetDescription | None:
    """Read the description of a dataset that is ready; None before."""
    if dataset.description is None:
        return None
    return DatasetDescription.model_validate(dataset.description)


def facts_of(dataset: DatasetDescription) -> DatasetFacts:
    """Pick out what decides whether a job fits."""
    return DatasetFacts.of(dataset)


def image_bytes(dataset: DatasetDescription) -> int:
    """Count the bytes of all images as uint8, which is how training holds them."""
    image = dataset.image
    num_examples = sum(split.num_examples for split in dataset.splits.values())
    return image.channels * image.height * image.width * num_examples
