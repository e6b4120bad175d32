"""Architectures: a name with its parameters, enough to build a network on any machine."""

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from kdcore.catalog.torchvision_names import TORCHVISION_CLASSIFIERS
from kdcore.spec.base import Integers, SpecModel, problem

Activation = Literal["relu", "leaky_relu", "gelu", "silu", "tanh"]
Probability = Annotated[float, Field(ge=0.0, lt=1.0)]
Width = Annotated[int, Field(ge=1, le=65_536)]


class Mlp(SpecModel):
    """Linear layers on the flattened image, each followed by activation and dropout."""

    architecture: Literal["mlp"] = "mlp"
    hidden: Integers = Field(description="Units of each hidden layer, first to last.")
    activation: Activation = Field("relu", description="Non-linearity after each hidden layer.")
    dropout: Probability = Field(0.0, description="Share of hidden units dropped in training.")
    input_dropout: Probability = Field(0.0, description="Share of pixels dropped in training.")

    @model_validator(mode="after")
    def _check_hidden(self) -> Self:
        if len(self.hidden) > 64 or any(not 1 <= units <= 65_536 for units in self.hidden):
            raise problem(
                "hidden_out_of_range",
                "Give at most 64 hidden layers of 1 to 65536 units each.",
                field="hidden",
            )
        return self


class Conv(SpecModel):
    """A square 2-d convolution; the number of input channels follows from the layer before."""

    layer: Literal["conv"] = "conv"
    channels: Width = Field(description="Output channels.")
    kernel_size: int = Field(3, ge=1, le=31, description="Side of the kernel in pixels.")
    stride: int = Field(1, ge=1, le=16, description="Step of the kernel in pixels.")
    padding: int = Field(1, ge=0, le=15, description="Zero pixels added on each side.")
    bias: bool = Field(True, description="Whether each output channel has a bias.")


class Pool(SpecModel):
    """Square pooling over each channel."""

    layer: Literal["pool"] = "pool"
    kind: Literal["max", "average", "global_average"] = Field(
        "max", description="`global_average` averages the whole map and takes no size."
    )
    size: int = Field(2, ge=1, le=64, description="Side of the window, and its step, in pixels.")


class Linear(SpecModel):
    """A fully connected layer; what comes before is flattened first."""

    layer: Literal["linear"] = "linear"
    features: Width = Field(description="Output features.")
    bias: bool = Field(True, description="Whether each output feature has a bias.")


class Norm(SpecModel):
    """Batch normalisation over channels (or features, after a linear layer)."""

    layer: Literal["norm"] = "norm"


class Dropout(SpecModel):
    """Dropout of single elements."""

    layer: Literal["dropout"] = "dropout"
    probability: Probability = Field(0.5, description="Share of elements dropped in training.")


class ActivationLayer(SpecModel):
    """An element-wise non-linearity."""

    layer: Literal["activation"] = "activation"
    name: Activation = Field("relu", description="Which non-linearity.")


CnnLayer = Annotated[
    Conv | Pool | Linear | Norm | Dropout | ActivationLayer, Discriminator("layer")
]


class Cnn(SpecModel):
    """A plain network declared layer by layer; the classifying linear layer is added at the end."""

    architecture: Literal["cnn"] = "cnn"
    layers: Annotated[tuple[CnnLayer, ...], Field(strict=False, min_length=1, max_length=256)] = (
        Field(description="The layers in order, without the final one that gives the logits.")
    )


class ResnetCifar(SpecModel):
    """The CIFAR residual network of He et al. 2016, section 4.2 (arXiv:1512.03385)."""

    architecture: Literal["resnet_cifar"] = "resnet_cifar"
    depth: int = Field(ge=8, le=1202, description="Layers: 6n+2, such as 8, 20, 26, 56, 110.")
    width: int = Field(16, ge=1, le=1024, description="Channels of the first stage; then 2x, 4x.")
    stem_width: int | None = Field(
        None, ge=1, le=1024, description="Channels of the first convolution; `width` if left out."
    )

    @model_validator(mode="after")
    def _check_depth(self) -> Self:
        if (self.depth - 2) % 6:
            raise problem(
                "depth_not_buildable",
                f"A resnet_cifar has 6n+2 layers (8, 14, 20, 26, 32, 56, 110); {self.depth} is "
                f"not one. The nearest is {6 * round((self.depth - 2) / 6) + 2}.",
                field="depth",
            )
        return self


class Wrn(SpecModel):
    """The wide residual network of Zagoruyko and Komodakis 2016 (arXiv:1605.07146)."""

    architecture: Literal["wrn"] = "wrn"
    depth: int = Field(ge=10, le=1204, description="Layers: 6n+4, such as 16, 28, 40.")
    widen_factor: int = Field(1, ge=1, le=32, description="Channels over 16, 32, 64.")
    dropout: Probability = Field(0.0, description="Dropout inside each block.")

    @model_validator(mode="after")
    def _check_depth(self) -> Self:
        if (self.depth - 4) % 6:
            raise problem(
                "depth_not_buildable",
                f"A wrn has 6n+4 layers (10, 16, 22, 28, 40); {self.depth} is not one. "
                f"The nearest is {6 * round((self.depth - 4) / 6) + 4}.",
                field="depth",
            )
        return self


class TorchvisionClassifier(SpecModel):
    """Any classifier of torchvision by name, as torchvision builds it, without weights."""

    architecture: str = Field(
        pattern=r"^torchvision/[a-z0-9_]+$", description="`torchvision/` and the model's name."
    )

    @property
    def torchvision_name(self) -> str:
        """The name after the slash, as `torchvision.models.get_model` takes it."""
        return self.architecture.partition("/")[2]

    @model_validator(mode="after")
    def _check_name(self) -> Self:
        if self.torchvision_name not in TORCHVISION_CLASSIFIERS:
            raise problem(
                "unknown_architecture",
                f"torchvision has no classifier named {self.torchvision_name!r}. "
                "GET /v1/architectures lists them.",
                field="architecture",
            )
        return self


def _architecture_tag(value: Any) -> str | None:
    """Tell the architecture class by its name; all of torchvision shares one."""
    name = (
        value.get("architecture")
        if isinstance(value, dict)
        else getattr(value, "architecture", None)
    )
    if isinstance(name, str) and name.startswith("torchvision/"):
        return "torchvision"
    return name if isinstance(name, str) else None


_BY_NAME = Discriminator(
    _architecture_tag,
    custom_error_type="unknown_architecture",
    custom_error_message=(
        "Name one of the architectures mlp, cnn, resnet_cifar, wrn or torchvision/<name> in "
        "the field `architecture`; GET /v1/architectures describes each."
    ),
)

Backbone = Annotated[
    Annotated[Mlp, Tag("mlp")]
    | Annotated[Cnn, Tag("cnn")]
    | Annotated[ResnetCifar, Tag("resnet_cifar")]
    | Annotated[Wrn, Tag("wrn")]
    | Annotated[TorchvisionClassifier, Tag("torchvision")],
    _BY_NAME,
]


class ReusedClassifier(SpecModel):
    """A backbone up to one layer, a projector, and a classifier made for another network's maps.

    Chen et al. 2022 (arXiv:2203.14001); what `simkd` trains.
    """

    architecture: Literal["reused_classifier"] = "reused_classifier"
    backbone: Backbone = Field(description="The network whose first part is used.")
    layer: str = Field(
        min_length=1,
        max_length=200,
        description="The backbone's last layer that is used, such as `layer3`, or `fc@input`.",
    )
    channels: Width = Field(description="Channels of the maps that the classifier was made for.")
    bottleneck: Width = Field(description="Channels inside the projector.")
    height: int = Field(ge=1, le=4096, description="Of the projected map; larger ones are pooled.")
    width: int = Field(ge=1, le=4096, description="Of the projected map; larger ones are pooled.")
    activation: Literal["relu", "none"] = Field(
        "relu", description="What the projector ends in: `relu` for maps without negative values."
    )


Architecture = Annotated[
    Annotated[Mlp, Tag("mlp")]
    | Annotated[Cnn, Tag("cnn")]
    | Annotated[ResnetCifar, Tag("resnet_cifar")]
    | Annotated[ReusedClassifier, Tag("reused_classifier")]
    | Annotated[Wrn, Tag("wrn")]
    | Annotated[TorchvisionClassifier, Tag("torchvision")],
    _BY_NAME,
]
