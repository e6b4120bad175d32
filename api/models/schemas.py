"""Models as clients send and read them."""

from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import Body
from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from api.schemas import Answer, JsonObject, RejectionRead
from kdcore.spec import Architecture, ImageInput, TorchvisionClassifier
from kdcore.spec.base import Names, SpecModel, problem
from kdcore.spec.networks import MAX_CLASSES
from kdstore.tables import ValidationStatus

# What torchvision's published weights were trained with.
_IMAGENET = ImageInput(
    channels=3, height=224, width=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)

Name = Annotated[str, Field(min_length=1, max_length=200, description="For people.")]


FROM_UPLOAD: JsonObject = {
    "name": "mnist 1200x1200",
    "upload_id": "upl_8k2m5x0c7q4n9w1r3t6y8z",
    "architecture": {"architecture": "mlp", "hidden": [1200, 1200]},
    "input": {"channels": 1, "height": 28, "width": 28},
}
FROM_JOB: JsonObject = {"name": "small teacher", "job_id": "job_4kq2m8x0c7n9w1r3t6y8zv"}


class ModelFromUpload(SpecModel):
    """A checkpoint that was uploaded, and the network that it belongs to."""

    name: Name
    upload_id: str = Field(max_length=64, description="A stored upload of purpose checkpoint.")
    architecture: Architecture
    input: ImageInput | None = Field(
        None,
        description="The images it takes, with the mean and std it was trained with. May be left "
        "out only for torchvision: then 3x224x224, with ImageNet's mean and std.",
    )
    class_names: Annotated[Names, Field(max_length=MAX_CLASSES)] = Field(
        (), description="Name of each output in order, if known."
    )

    @model_validator(mode="after")
    def _check_input(self) -> Self:
        if self.input is None and not isinstance(self.architecture, TorchvisionClassifier):
            raise problem(
                "field_missing",
                "Say which images the network takes: channels, height and width, and the mean "
                "and std it was trained with if it was trained on normalised images.",
                field="input",
            )
        return self

    @property
    def known_input(self) -> ImageInput:
        """The input as given, or torchvision's."""
        return self.input or _IMAGENET

    @classmethod
    def _title(cls) -> str:
        return "a model from an upload"


class ModelFromJob(SpecModel):
    """The network that a job trained, as a model: students can teach."""

    name: Name
    job_id: str = Field(max_length=64, description="A job that has succeeded.")

    @classmethod
    def _title(cls) -> str:
        return "a model from a job"


def _source(value: Any) -> str:
    """Tell the two bodies apart by the source they name; the value is anything at all."""
    has_job = "job_id" in value if isinstance(value, dict) else isinstance(value, ModelFromJob)
    return "job" if has_job else "upload"


ModelCreate = Annotated[
    Annotated[ModelFromUpload, Tag("upload")] | Annotated[ModelFromJob, Tag("job")],
    Discriminator(_source),
    Body(examples=[FROM_UPLOAD, FROM_JOB]),
]


class LayerRead(Answer):
    """A layer that can be tapped, as jobs name it in `method.layers`."""

    name: str = Field(
        description="`layer2` is what the layer gives, `fc@input` what the layer `fc` takes in."
    )
    shape: list[int] = Field(
        description="For one image: channels, height and width of a map; features of a vector."
    )


class ModelRead(Answer):
    """Weights that can teach once they are `ready`; `problem` says why they were rejected."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "mdl_2m8x0c7q4n9w1r3t6y8zvk",
                    "name": "mnist 1200x1200",
                    "status": "ready",
                    "problem": None,
                    "upload_id": "upl_8k2m5x0c7q4n9w1r3t6y8z",
                    "job_id": None,
                    "architecture": {"architecture": "mlp", "hidden": [1200, 1200]},
                    "input": {
                        "channels": 1,
                        "height": 28,
                        "width": 28,
                        "mean": [0.0],
                        "std": [1.0],
                    },
                    "num_classes": 10,
                    "class_names": [],
                    "format": "safetensors",
                    "parameters": 2_395_210,
                    "flops": 4_785_600,
                    "layers": [
                        {"name": "hidden.0", "shape": [1200]},
                        {"name": "classifier@input", "shape": [1200]},
                    ],
                    "sha256": "4f8b42c22dd3729b519ba6f68d2da7cc5b2d606d05daed5ad5128cc03e6c6358",
                    "size_bytes": 9_581_272,
                    "created_at": "2026-07-01T12:00:00Z",
                    "decided_at": "2026-07-01T12:00:02Z",
                }
            ]
        }
    )

    id: str
    name: str
    status: ValidationStatus
    problem: RejectionRead | None
    upload_id: str | None
    job_id: str | None
    architecture: JsonObject | None
    input: JsonObject | None
    num_classes: int | None
    class_names: list[str] | None
    format: str | None = Field(description="What the upload turned out to be.")
    parameters: int | None
    flops: int | None = Field(description="Of one image; 2 per multiply-add.")
    layers: list[LayerRead] | None
    sha256: str | None = Field(description="Of the weights as we keep them.")
    size_bytes: int | None
    created_at: datetime
    decided_at: datetime | None
