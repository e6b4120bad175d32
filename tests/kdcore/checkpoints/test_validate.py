"""Weights are accepted only if they fit the declared network, are finite, and can be run."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from kdcore.checkpoints import (
    Code,
    infer_num_classes,
    load_foreign_weights,
    open_checkpoint,
)
from kdcore.errors import CheckpointRejected, IncompatibleInputs
from kdcore.models import build_network
from kdcore.spec import NetworkDescription, parse_network

Save = Callable[..., bytes]
Upload = Callable[[bytes], Path]
Weights = dict[str, torch.Tensor]

MLP = {"architecture": "mlp", "hidden": [6]}
RESNET = {"architecture": "resnet_cifar", "depth": 8, "width": 4}


def describe(
    architecture: Mapping[str, Any] = MLP, *, side: int = 8, num_classes: int = 5
) -> NetworkDescription:
    image = {"channels": 3, "height": side, "width": side}
    return parse_network({"architecture": architecture, "input": image, "num_classes": num_classes})


def weights_of(description: NetworkDescription) -> Weights:
    return dict(build_network(description, seed=0).state_dict())


@pytest.fixture
def refused(upload: Upload) -> Callable[..., CheckpointRejected]:
    def load(weights: Weights, description: NetworkDescription | None = None) -> CheckpointRejected:
        with pytest.raises(CheckpointRejected) as caught:
            load_foreign_weights(upload(save(weights)), description or describe())
        return caught.value

    return load


@pytest.mark.parametrize("architecture", [MLP, RESNET], ids=["mlp", "resnet_cifar"])
def test_weights_come_back_bit_for_bit(
    upload: Upload, saved_by_torch: Save, architecture: Mapping[str, Any]
) -> None:
    description = describe(architecture)
    weights = weights_of(description)
    for data in (save(weights), saved_by_torch(weights), saved_by_torch({"model": weights})):
        loaded = load_foreign_weights(upload(data), description)
        assert list(loaded) == list(weights)
        assert all(torch.equal(loaded[name], weights[name]) for name in weights)
        assert all(loaded[name].dtype == weights[name].dtype for name in weights)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_other_floats_become_float32(
    upload: Upload, saved_by_torch: Save, dtype: torch.dtype
) -> None:
    narrow = {name: tensor.to(dtype) for name, tensor in weights_of(describe()).items()}
    for data in (save(narrow), saved_by_torch(narrow)):
        loaded = load_foreign_weights(upload(data), describe())
        assert all(tensor.dtype is torch.float32 for tensor in loaded.values())
        assert all(torch.equal(loaded[name], narrow[name].float()) for name in narrow)


@pytest.mark.parametrize(
    "architecture",
    [
        MLP,
        RESNET,
        {"architecture": "wrn", "depth": 10},
        {"architecture": "cnn", "layers": [{"layer": "conv", "channels": 4}, {"layer": "norm"}]},
        {"architecture": "torchvision/swin_v2_t"},
        {"architecture": "torchvision/vit_b_32"},
        {"architecture": "torchvision/maxvit_t"},
    ],
    ids=lambda architecture: architecture["architecture"],
)
def test_architectures_keep_all_their_tensors_in_the_state_dict(
    architecture: Mapping[str, Any],
) -> None:
    """Loading with assign=True would leave any other buffer on meta."""
    network = build_network(describe(architecture, side=224), device="meta")
    assert {name for name, _ in network.named_buffers()} <= network.state_dict().keys()


def test_missing_tensor_is_refused(refused: Callable[..., CheckpointRejected]) -> None:
    weights = weights_of(describe())
    del weights["classifier.bias"]
    error = refused(weights)
    assert (error.code, error.tensor) == (Code.TENSOR_MISSING, "classifier.bias")


def test_other_number_of_classes_is_refused(refused: Callable[..., CheckpointRejected]) -> None:
    error = refused(weights_of(describe(num_classes=7)))
    assert (error.code, error.tensor) == (Code.SHAPE_MISMATCH, "classifier.weight")
    assert (error.expected, error.found) == ("5×6", "7×6")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_tensor_that_is_not_finite_is_refused(
    refused: Callable[..., CheckpointRejected], value: float
) -> None:
    weights = weights_of(describe())
    weights["classifier.bias"][3] = value
    error = refused(weights)
    assert (error.code, error.tensor) == (Code.NOT_FINITE, "classifier.bias")


def test_float64_beyond_float32_is_refused(refused: Callable[..., CheckpointRejected]) -> None:
    weights = {name: tensor.double() for name, tensor in weights_of(describe()).items()}
    weights["classifier.weight"][0, 0] = 1e300
    error = refused(weights)
    assert (error.code, error.tensor) == (Code.NOT_FINITE, "classifier.weight")


def test_last_value_of_a_tensor_of_several_chunks_is_checked(
    upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdcore.checkpoints.validate._CHUNK_ELEMENTS", 7)
    weights = weights_of(describe())
    load_foreign_weights(upload(save(weights)), describe())
    weights["classifier.weight"][-1, -1] = float("nan")
    with pytest.raises(CheckpointRejected) as caught:
        load_foreign_weights(upload(save(weights)), describe())
    assert caught.value.tensor == "classifier.weight"


def test_weights_that_overflow_the_logits_are_refused(
    refused: Callable[..., CheckpointRejected],
) -> None:
    weights = {name: tensor.abs() * 1e30 for name, tensor in weights_of(describe()).items()}
    assert refused(weights).code == Code.LOGITS_NOT_FINITE


def test_architecture_of_70_billion_parameters_is_refused_without_allocating(
    refused: Callable[..., CheckpointRejected],
) -> None:
    description = describe({"architecture": "mlp", "hidden": [65_536] * 17})
    error = refused({"w": torch.ones(1)}, description)
    assert error.code == Code.ARCHITECTURE_TOO_LARGE
    assert error.found == "68733501445 parameters"


def test_architecture_of_too_many_operations_is_refused(
    refused: Callable[..., CheckpointRejected],
) -> None:
    layers = [
        {"layer": "conv", "channels": 4096, "kernel_size": 3},
        {"layer": "conv", "channels": 4096, "kernel_size": 3},
        {"layer": "pool", "kind": "global_average"},
    ]
    description = describe({"architecture": "cnn", "layers": layers}, side=256)
    error = refused({"w": torch.ones(1)}, description)
    assert error.code == Code.ARCHITECTURE_TOO_LARGE
    assert "operations" in error.message


def test_images_that_do_not_fit_the_architecture_are_refused(upload: Upload) -> None:
    description = describe({"architecture": "torchvision/alexnet"}, side=8)
    with pytest.raises(IncompatibleInputs):
        load_foreign_weights(upload(save({"w": torch.ones(1)})), description)


def test_file_is_checked_before_the_architecture(upload: Upload) -> None:
    description = describe({"architecture": "mlp", "hidden": [65_536] * 17})
    with pytest.raises(CheckpointRejected) as caught:
        load_foreign_weights(upload(b"\x80\x04]."), description)
    assert caught.value.code == Code.TOO_SHORT


@pytest.mark.parametrize(
    "architecture",
    [MLP, RESNET, {"architecture": "torchvision/squeezenet1_1"}],
    ids=["mlp", "resnet_cifar", "squeezenet"],
)
def test_number_of_classes_is_told_from_the_file(
    upload: Upload, architecture: Mapping[str, Any]
) -> None:
    description = describe(architecture, side=32, num_classes=11)
    with open_checkpoint(upload(save(weights_of(description)))) as checkpoint:
        found = infer_num_classes(checkpoint, description.architecture, description.input)
    assert found == 11


@pytest.mark.parametrize(
    "changed",
    [
        {"classifier.bias": torch.ones(4)},
        {"classifier.bias": torch.ones(5, 1)},
        {"classifier.weight": torch.ones(1, 6), "classifier.bias": torch.ones(1)},
        {"classifier.weight": torch.ones(10_001, 6), "classifier.bias": torch.ones(10_001)},
    ],
)
def test_tensors_that_tell_no_number_of_classes_are_refused(
    upload: Upload, changed: Weights
) -> None:
    description = describe()
    path = upload(save(weights_of(description) | changed))
    with open_checkpoint(path) as checkpoint, pytest.raises(CheckpointRejected) as caught:
        infer_num_classes(checkpoint, description.architecture, description.input)
    assert caught.value.code == Code.CLASSES_NOT_FOUND


def test_number_of_classes_without_the_last_layer_is_refused(upload: Upload) -> None:
    description = describe()
    with (
        open_checkpoint(upload(save({"w": torch.ones(1)}))) as checkpoint,
        pytest.raises(CheckpointRejected) as caught,
    ):
        infer_num_classes(checkpoint, description.architecture, description.input)
    assert (caught.value.code, caught.value.tensor) == (
        Code.CLASSES_NOT_FOUND,
        "classifier.weight",
    )
