"""Architectures and methods as clients read them."""

from typing import Literal

from pydantic import ConfigDict, Field

from api.schemas import Answer, JsonObject
from kdcore.spec.methods.base import FittingShapes, Pairing


class PaperRead(Answer):
    """Where something was published."""

    authors: str
    title: str
    year: int
    url: str


class LimitsRead(Answer):
    """What an architecture can be asked for at most."""

    max_parameters: int
    max_classes: int
    max_image_side: int = Field(description="Pixels.")
    image_channels: list[int] = Field(description="Numbers of channels that images may have.")


class ArchitectureRead(Answer):
    """One family of networks, and what its fields may say."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "mlp",
                    "names": ["mlp"],
                    "title": "Multi-layer perceptron",
                    "summary": "Linear layers on the flattened image.",
                    "paper": None,
                    "json_schema": {"type": "object"},
                    "limits": {
                        "max_parameters": 2_000_000_000,
                        "max_classes": 10_000,
                        "max_image_side": 4096,
                        "image_channels": [1, 3],
                    },
                }
            ]
        }
    )

    name: str
    names: list[str] = Field(description="What the field `architecture` may say.")
    title: str
    summary: str
    paper: PaperRead | None
    json_schema: JsonObject = Field(description="JSON Schema of its fields.")
    limits: LimitsRead


class LayerNeedsRead(Answer):
    """Which layers of student and teacher a method compares."""

    chosen: Pairing = Field(
        description="Which pairs are chosen where `layers` is empty. `stages`: the end of each "
        "stage, by the size of maps; `middle`: the middle one of these; `flows`: from the start "
        "to the end of each stage; `embedding`: what the last linear layers take in; `last_map`: "
        "the last maps."
    )
    shapes: FittingShapes = Field(
        description="Which shapes may stand in a pair. `equal`: the same, channels by an adapter "
        "if need be; `equal_channels`: maps of any size, channels by an adapter; `equal_size`: "
        "maps of one height and width; `maps`: any maps; `any`: any layers."
    )
    fewest_places: int = Field(
        description="Height times width of the smallest maps that are chosen; of networks without "
        "any so large the largest alone. Layers named in `layers` may be smaller."
    )


class NeedsRead(Answer):
    """What a method works on."""

    min_teachers: int = Field(description="Fewest entries of `teachers`.")
    max_teachers: int = Field(description="Most entries of `teachers`; 0 if it needs none.")
    labels: Literal["always", "if_ce_weight", "never"] = Field(
        description="Whether it reads labels; `if_ce_weight`: only with a `ce_weight` above 0, so "
        "that with 0 it runs on `transfer.unlabeled`."
    )
    mixes: bool = Field(description="Whether `transfer.mix` may mix images.")
    layers: LayerNeedsRead | None = Field(description="null if it compares no layers.")


class MethodRead(Answer):
    """One published method, and what its fields may say."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "logit_kd",
                    "title": "Soft targets at a temperature",
                    "summary": "The student learns the teacher's softened probabilities.",
                    "formula": "ce_weight · CE(y, z_s) + kd_weight · T²/B · Σ KL(p_t^T ‖ p_s^T)",
                    "paper": {
                        "authors": "Geoffrey Hinton, Oriol Vinyals, Jeff Dean",
                        "title": "Distilling the Knowledge in a Neural Network",
                        "year": 2015,
                        "url": "https://arxiv.org/abs/1503.02531",
                    },
                    "json_schema": {"type": "object"},
                    "needs": {
                        "min_teachers": 1,
                        "max_teachers": 8,
                        "labels": "if_ce_weight",
                        "mixes": True,
                        "layers": None,
                    },
                    "stages": ["training"],
                    "stage_optimizers": {},
                }
            ]
        }
    )

    name: str
    title: str
    summary: str
    formula: str = Field(
        description="z logits, s student, t teacher, y label, B batch, p^T = softmax(z/T)."
    )
    paper: PaperRead
    json_schema: JsonObject = Field(
        description="JSON Schema of the job's field `method`, with the default of each."
    )
    needs: NeedsRead
    stages: list[str] = Field(
        description="Of the student's training, in order; `training.stages` overrides them by name."
    )
    stage_optimizers: dict[str, JsonObject] = Field(
        description="Of stages that have an optimizer of their own unless `training.stages` names "
        "one; the others have `training.optimizer`."
    )
