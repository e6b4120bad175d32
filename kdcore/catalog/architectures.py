"""The architectures that can be asked for: what each is, its fields, limits and paper."""

from dataclasses import dataclass
from typing import Any

from kdcore.catalog.limits import Limits
from kdcore.catalog.papers import Paper
from kdcore.catalog.schemas import schema_with_tag
from kdcore.catalog.torchvision_names import TORCHVISION_CLASSIFIERS
from kdcore.spec.architectures import (
    Cnn,
    Mlp,
    ResnetCifar,
    ReusedClassifier,
    TorchvisionClassifier,
    Wrn,
)
from kdcore.spec.base import SpecModel


@dataclass(frozen=True)
class ArchitectureEntry:
    """One family of networks."""

    name: str
    names: tuple[str, ...]
    """What the field `architecture` may say for this family, sorted."""
    title: str
    summary: str
    paper: Paper | None
    """None where there is no one paper."""
    spec: type[SpecModel]
    limits: Limits

    def json_schema(self) -> dict[str, Any]:
        """Give the JSON Schema of the family's fields."""
        schema = schema_with_tag(self.spec, "architecture")
        if len(self.names) > 1:
            # The spec checks the name in code; the schema can list what it checks against.
            name: dict[str, Any] = schema["properties"]["architecture"]
            name.pop("pattern", None)
            name["enum"] = list(self.names)
        return schema


def architectures() -> tuple[ArchitectureEntry, ...]:
    """List every architecture that can be built."""
    return (_mlp(), _cnn(), _resnet_cifar(), _reused_classifier(), _wrn(), _torchvision())


def _mlp() -> ArchitectureEntry:
    return ArchitectureEntry(
        name="mlp",
        names=("mlp",),
        title="Multi-layer perceptron",
        summary="Linear layers on the flattened image, with activation and dropout after each.",
        paper=None,
        spec=Mlp,
        limits=Limits(),
    )


def _cnn() -> ArchitectureEntry:
    return ArchitectureEntry(
        name="cnn",
        names=("cnn",),
        title="Plain network, layer by layer",
        summary="Any sequence of conv, pool, linear, norm, dropout and activation layers; the "
        "classifying linear layer is added at the end.",
        paper=None,
        spec=Cnn,
        limits=Limits(),
    )


def _resnet_cifar() -> ArchitectureEntry:
    return ArchitectureEntry(
        name="resnet_cifar",
        names=("resnet_cifar",),
        title="Residual network for small images",
        summary="6n+2 layers in three stages of basic blocks; where a shortcut changes shape it "
        "is a 1x1 convolution with BatchNorm. 272,474 parameters at depth 20 with 10 classes.",
        paper=Paper(
            authors="Kaiming He, Xiangyu Zhang, Shaoqing Ren, Jian Sun",
            title="Deep Residual Learning for Image Recognition",
            year=2016,
            url="https://arxiv.org/abs/1512.03385",
        ),
        spec=ResnetCifar,
        limits=Limits(),
    )


def _reused_classifier() -> ArchitectureEntry:
    return ArchitectureEntry(
        name="reused_classifier",
        names=("reused_classifier",),
        title="Backbone under another network's classifier",
        summary="The first part of another architecture, a projector of three convolutions, and "
        "a linear classifier on the average of the projected map: what `simkd` trains.",
        paper=Paper(
            authors="Defang Chen, Jian-Ping Mei, Hailin Zhang, Can Wang, Yan Feng, Chun Chen",
            title="Knowledge Distillation with the Reused Teacher Classifier",
            year=2022,
            url="https://arxiv.org/abs/2203.14001",
        ),
        spec=ReusedClassifier,
        limits=Limits(),
    )


def _wrn() -> ArchitectureEntry:
    return ArchitectureEntry(
        name="wrn",
        names=("wrn",),
        title="Wide residual network",
        summary="6n+4 layers in three stages of pre-activation blocks, with 16, 32 and 64 "
        "channels times widen_factor.",
        paper=Paper(
            authors="Sergey Zagoruyko, Nikos Komodakis",
            title="Wide Residual Networks",
            year=2016,
            url="https://arxiv.org/abs/1605.07146",
        ),
        spec=Wrn,
        limits=Limits(),
    )


def _torchvision() -> ArchitectureEntry:
    return ArchitectureEntry(
        name="torchvision/*",
        names=tuple(f"torchvision/{name}" for name in sorted(TORCHVISION_CLASSIFIERS)),
        title="Classifiers of torchvision",
        summary="As torchvision builds them by name, without pretrained weights and without "
        "auxiliary classifiers. Images need 3 channels and a size that survives the pooling.",
        paper=None,
        spec=TorchvisionClassifier,
        limits=Limits(image_channels=(3,)),
    )
