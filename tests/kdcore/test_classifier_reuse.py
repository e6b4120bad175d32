"""Which teachers' classifiers can be reused, and what the student becomes with them."""

import pytest
import torch
from torch import nn

from kdcore.classifier_reuse import plan_reuse, take_over_classifier
from kdcore.errors import IncompatibleInputs
from kdcore.job_runs import layers_of
from kdcore.models import Classifier, build_network
from kdcore.pairing import resolve_layers
from kdcore.spec import (
    Architecture,
    Cnn,
    ImageInput,
    Mlp,
    NetworkDescription,
    ResnetCifar,
    ReusedClassifier,
    SimKd,
    TorchvisionClassifier,
    Wrn,
)
from kdcore.spec.architectures import ActivationLayer, Conv, Pool
from kdcore.spec.methods import LayerPair
from kdcore.teacher import Teacher

IMAGE = ImageInput(channels=3, height=32, width=32)
STUDENT = ResnetCifar(depth=8, width=8)


def _describe(architecture: Architecture) -> NetworkDescription:
    return NetworkDescription(architecture=architecture, input=IMAGE, num_classes=7)


def _teacher(architecture: Architecture) -> Teacher:
    return Teacher(Classifier(build_network(_describe(architecture), seed=2), IMAGE))


def _plan(
    teacher: Architecture, student: Architecture = STUDENT, method: SimKd | None = None
) -> ReusedClassifier:
    student_layers, teacher_layers = (layers_of(_describe(each)) for each in (student, teacher))
    resolved = resolve_layers(method or SimKd(), student=student_layers, teacher=teacher_layers)
    planned = plan_reuse(
        resolved,
        _describe(student),
        _teacher(teacher),
        student_layers=student_layers,
        teacher_layers=teacher_layers,
    )
    assert isinstance(planned.architecture, ReusedClassifier)
    return planned.architecture


def test_student_is_projected_to_the_last_map_of_the_teacher() -> None:
    assert _plan(ResnetCifar(depth=14, width=12)) == ReusedClassifier(
        backbone=STUDENT, layer="layer3", channels=48, bottleneck=24, height=8, width=8
    )


def test_bottleneck_is_the_declared_part_of_the_teachers_channels() -> None:
    factor = SimKd(bottleneck_factor=5.0)

    assert _plan(ResnetCifar(depth=8, width=12), method=factor).bottleneck == 10


def test_relu_between_the_last_map_and_the_average_is_found() -> None:
    # A wrn's last BatchNorm gives negative values, and a ReLU that is no layer takes them away.
    planned = _plan(Wrn(depth=10))

    assert (planned.channels, planned.height, planned.activation) == (64, 8, "relu")


def test_classifier_on_negative_values_is_projected_to_without_relu() -> None:
    planned = _plan(Mlp(hidden=(9,), activation="tanh"))

    assert (planned.channels, planned.height, planned.activation) == (9, 1, "none")
    assert planned.layer == "fc@input"


def test_classifier_on_a_flattened_map_is_reused_on_the_vector() -> None:
    cnn = Cnn(layers=(Conv(channels=4), ActivationLayer(), Pool(size=8)))

    assert (_plan(cnn).channels, _plan(cnn).height) == (4 * 4 * 4, 1)


def test_smaller_map_of_the_student_decides_the_size() -> None:
    cnn = Cnn(layers=(Conv(channels=4), ActivationLayer(), Pool(size=8)))
    planned = _plan(ResnetCifar(depth=8), student=cnn)

    assert (planned.layer, planned.height, planned.width) == ("layers.2", 4, 4)


@pytest.mark.parametrize("layer", ["layer2", "layer3.0.bn2"])
def test_layer_that_the_classifier_does_not_stand_on_is_refused(layer: str) -> None:
    method = SimKd(layers=(LayerPair(teacher=layer, student="layer3"),))

    with pytest.raises(IncompatibleInputs, match=r"or 'fc@input'") as caught:
        _plan(ResnetCifar(depth=8), method=method)

    assert caught.value.code == "classifier_not_reusable"


def test_teacher_without_a_last_linear_layer_is_refused() -> None:
    squeezenet = TorchvisionClassifier(architecture="torchvision/squeezenet1_1")
    method = SimKd(layers=(LayerPair(teacher="features", student="layer3"),))

    with pytest.raises(IncompatibleInputs, match="ends in no linear layer"):
        _plan(squeezenet, method=method)


def test_tokens_are_refused() -> None:
    method = SimKd(layers=(LayerPair(teacher="layer3", student="encoder"),))
    vit = TorchvisionClassifier(architecture="torchvision/vit_b_32")

    with pytest.raises(IncompatibleInputs, match="encoder gives 2 vectors of 768"):
        _plan(ResnetCifar(depth=8), student=vit, method=method)


def test_student_that_has_a_reused_classifier_already_is_refused() -> None:
    reused = ReusedClassifier(
        backbone=STUDENT, layer="layer3", channels=8, bottleneck=4, height=8, width=8
    )
    method = SimKd(layers=(LayerPair(teacher="layer3", student="projector"),))

    with pytest.raises(IncompatibleInputs, match="name the backbone alone"):
        _plan(ResnetCifar(depth=8), student=reused, method=method)


@pytest.mark.parametrize("bias", [True, False])
def test_classifier_is_the_teachers_and_frozen_and_nothing_else_is(bias: bool) -> None:
    architecture = ResnetCifar(depth=8, width=12)
    teacher = _teacher(architecture)
    theirs = teacher.classifier.network.get_submodule("fc")
    assert isinstance(theirs, nn.Linear)
    if not bias:
        theirs.register_parameter("bias", None)
    network = build_network(_describe(_plan(architecture)), seed=0)

    take_over_classifier(network, teacher, teacher_layers=layers_of(_describe(architecture)))

    own = network.get_submodule("classifier")
    assert isinstance(own, nn.Linear)
    assert torch.equal(own.weight, theirs.weight)
    assert torch.equal(own.bias, theirs.bias if bias else torch.zeros(7))
    frozen = {name for name, value in network.named_parameters() if not value.requires_grad}
    assert frozen == {"classifier.weight", "classifier.bias"}
