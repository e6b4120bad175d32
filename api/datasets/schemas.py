"""Datasets as clients send and read them."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from api.schemas import Answer, RejectionRead
from kdcore.spec.base import Names, SpecModel
from kdcore.spec.networks import MAX_CLASSES
from kdstore.tables import ValidationStatus

DatasetFormat = Literal["image_folder_zip", "npz", "idx"]


class DatasetCreate(SpecModel):
    """An uploaded file of labelled images."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "mnist",
                    "upload_id": "upl_8k2m5x0c7q4n9w1r3t6y8z",
                    "format": "idx",
                }
            ]
        }
    )

    name: str = Field(min_length=1, max_length=200, description="For people.")
    upload_id: str = Field(max_length=64, description="A stored upload of purpose dataset.")
    format: DatasetFormat = Field(
        description="image_folder_zip: a zip of images in class folders. npz: arrays of images "
        "and labels. idx: a zip of the four files of MNIST and its relatives."
    )
    class_names: Annotated[Names, Field(max_length=MAX_CLASSES)] = Field(
        (), description="Name of each label in order, where the format has none."
    )

    @classmethod
    def _title(cls) -> str:
        return "a dataset"


class ImageShapeRead(Answer):
    """The one size of all images."""

    channels: int
    height: int = Field(description="Pixels.")
    width: int = Field(description="Pixels.")


class SplitRead(Answer):
    """How many images a split has."""

    num_examples: int
    class_counts: list[int] = Field(description="By label.")


class ThumbnailRead(Answer):
    """A small picture of one class."""

    class_name: str
    url: str


class DatasetRead(Answer):
    """Labelled images that can be trained on once they are `ready`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "dts_5x0c7q4n9w1r3t6y8zvk2m",
                    "name": "mnist",
                    "status": "ready",
                    "problem": None,
                    "builtin": False,
                    "upload_id": "upl_8k2m5x0c7q4n9w1r3t6y8z",
                    "format": "idx",
                    "class_names": ["0", "1"],
                    "image": {"channels": 1, "height": 28, "width": 28},
                    "splits": {
                        "train": {"num_examples": 60000, "class_counts": [29492, 30508]},
                        "test": {"num_examples": 10000, "class_counts": [4926, 5074]},
                    },
                    "mean": [0.1307],
                    "std": [0.3081],
                    "thumbnails": [],
                    "sha256": "4f8b42c22dd3729b519ba6f68d2da7cc5b2d606d05daed5ad5128cc03e6c6358",
                    "created_at": "2026-07-01T12:00:00Z",
                    "decided_at": "2026-07-01T12:00:04Z",
                }
            ]
        }
    )

    id: str = Field(description="Of a built-in one, its name.")
    name: str
    status: ValidationStatus
    problem: RejectionRead | None
    builtin: bool
    upload_id: str | None
    format: str
    class_names: list[str] | None
    image: ImageShapeRead | None
    splits: dict[str, SplitRead] | None
    mean: list[float] | None = Field(description="Per channel over train, of values in [0, 1].")
    std: list[float] | None = Field(description="Per channel over train, of values in [0, 1].")
    thumbnails: list[ThumbnailRead]
    sha256: str | None
    created_at: datetime
    decided_at: datetime | None
