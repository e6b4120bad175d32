"""From a student and its teacher to the network that `simkd` trains: the teacher's classifier kept.

B batch, C channels, H height, W width, K classes.
"""

from typing import Literal

import torch
from torch import nn

from kdcore.catalog.layer_shapes import INPUT, LayerShapes, Shape
from kdcore.errors import IncompatibleInputs
from kdcore.pairing.network_stages import embedding
from kdcore.spec import NetworkDescription, ReusedClassifier
from kdcore.spec.architectures import Backbone
from kdcore.spec.methods import SimKd
from kdcore.teacher import Teacher

_NUM_PROBES = 4
# Of the logits' length: above what half precision does, far below another activation's error.
_LARGEST_ERROR = 0.05


def plan_reuse(
    method: SimKd,
    student: NetworkDescription,
    teacher: Teacher,
    *,
    student_layers: LayerShapes,
    teacher_layers: LayerShapes,
) -> NetworkDescription:
    """Describe the student with a projector and the teacher's classifier in place of its own.

    Args:
        method: With its one pair of layers.
        student: The plain student.
        teacher: Asked whether its classifier can be reused.
        student_layers: Every layer of the student that can be tapped.
        teacher_layers: The same of the teacher.

    Raises:
        IncompatibleInputs: `classifier_not_reusable`: the teacher's logits are not its last
            linear layer on the average of its layer, nor on that of its positive part.
    """
    (pair,) = method.layers
    _, height, width = _as_map(
        student_layers[pair.student], pair.student, pointer="/method/layers/0/student"
    )
    channels, teacher_height, teacher_width = _as_map(
        teacher_layers[pair.teacher], pair.teacher, pointer="/method/layers/0/teacher"
    )
    reused = ReusedClassifier(
        backbone=_backbone(student),
        layer=pair.student,
        channels=channels,
        bottleneck=max(1, round(channels / method.bottleneck_factor)),
        height=min(height, teacher_height),
        width=min(width, teacher_width),
        activation=_activation(teacher, pair.teacher, student, teacher_layers),
    )
    return student.model_copy(update={"architecture": reused})


def take_over_classifier(
    network: nn.Module, teacher: Teacher, *, teacher_layers: LayerShapes
) -> None:
    """Copy the teacher's classifier into a `reused_classifier` and freeze it there."""
    theirs, own = _last_linear(teacher, teacher_layers), network.get_submodule("classifier")
    assert isinstance(own, nn.Linear)  # noqa: S101 - every reused_classifier has it
    with torch.no_grad():
        own.weight.copy_(theirs.weight)
        # torch's stub knows no linear layer without a bias; torchvision's maxvit has one.
        bias = dict(theirs.named_parameters()).get("bias")
        own.bias.copy_(torch.zeros_like(own.bias) if bias is None else bias)
    own.requires_grad_(False)


def _activation(
    teacher: Teacher,
    layer: str,
    student: NetworkDescription,
    teacher_layers: LayerShapes,
) -> Literal["relu", "none"]:
    """Find out by trying what lies between the teacher's layer and its average."""
    generator = torch.Generator().manual_seed(0)
    images_BCHW = torch.rand(_NUM_PROBES, *student.input.shape_CHW, generator=generator)
    classifier = _last_linear(teacher, teacher_layers)
    seen = teacher.observe(images_BCHW.to(classifier.weight.device), [layer])
    maps_BCHW = seen.features[layer]
    maps_BCHW = maps_BCHW[:, :, None, None] if maps_BCHW.dim() == 2 else maps_BCHW
    errors = {}
    for name, active_BCHW in (("relu", maps_BCHW.relu()), ("none", maps_BCHW)):
        if active_BCHW.shape[1] == classifier.in_features:
            off_BK = classifier(active_BCHW.mean((2, 3))).float() - seen.logits
            errors[name] = float(off_BK.norm() / seen.logits.norm())
    # Of maps without negative values both are right, and the projector may end in a ReLU.
    best = min(errors, key=lambda name: errors[name], default="none")
    if not errors or not errors[best] < _LARGEST_ERROR:
        raise IncompatibleInputs(
            "classifier_not_reusable",
            f"The teacher's classifier does not stand on the average of its layer {layer!r}, so a "
            "student cannot reuse it there. Name the last map before the teacher's pooling in "
            f"method.layers, or {_embedding(teacher_layers)!r}.",
            pointer="/method/layers/0/teacher",
        )
    return "relu" if best == "relu" else "none"


def _last_linear(teacher: Teacher, layers: LayerShapes) -> nn.Linear:
    network = teacher.classifier.network
    module = network.get_submodule(_embedding(layers).removesuffix(INPUT))
    assert isinstance(module, nn.Linear)  # noqa: S101 - only their inputs are listed as layers
    return module


def _embedding(layers: LayerShapes) -> str:
    name = embedding(layers)
    if name is None:
        raise IncompatibleInputs(
            "classifier_not_reusable",
            "The teacher ends in no linear layer, so a student cannot reuse its classifier. "
            "Choose another method, or another teacher.",
            pointer="/teachers/0/model",
        )
    return name


def _as_map(shape: Shape, name: str, *, pointer: str) -> tuple[int, int, int]:
    if len(shape) == 2:
        raise IncompatibleInputs(
            "layer_is_no_map",
            f"simkd compares maps and vectors; {name} gives {shape[0]} vectors of {shape[1]}.",
            pointer=pointer,
        )
    channels, height, width = (*shape, 1, 1)[:3]
    return channels, height, width


def _backbone(student: NetworkDescription) -> Backbone:
    if isinstance(student.architecture, ReusedClassifier):
        raise IncompatibleInputs(
            "student_has_a_classifier",
            "simkd gives the student a reused classifier itself; name the backbone alone.",
            pointer="/student/architecture",
        )
    return student.architecture
