"""A broken ONNX file is found by running it."""

# B batch, C channels or classes, H height, W width

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from kdcore.errors import ExportFailed
from kdcore.export import export_network
from kdcore.export.onnx_graph import _check_size, verify_onnx
from kdcore.export.verification import Reference, take_reference
from kdcore.models import Classifier
from kdcore.spec import NetworkDescription

Make = Callable[[NetworkDescription], Classifier]
Sample = Callable[[NetworkDescription], torch.Tensor]


@pytest.fixture(scope="module")
def reference(make_classifier: Make, mlp: NetworkDescription, sample_images: Sample) -> Reference:
    return take_reference(make_classifier(mlp), sample_images(mlp))


@pytest.fixture(scope="module")
def content(
    make_classifier: Make,
    mlp: NetworkDescription,
    sample_images: Sample,
    tmp_path_factory: pytest.TempPathFactory,
) -> bytes:
    (path,) = export_network(
        make_classifier(mlp),
        mlp,
        run="student",
        formats=["onnx"],
        folder=tmp_path_factory.mktemp("export"),
        sample_images_BCHW=sample_images(mlp),
    )
    return path.read_bytes()


@pytest.fixture
def path(content: bytes, tmp_path: Path) -> Path:
    written = tmp_path / "student.onnx"
    written.write_bytes(content)
    return written


def _change_bias(path: Path, *, by: float) -> None:
    model = onnx.load(path)
    bias = next(tensor for tensor in model.graph.initializer if list(tensor.dims) == [4])
    values_C = onnx.numpy_helper.to_array(bias).copy()
    values_C[0] += by
    bias.CopyFrom(onnx.numpy_helper.from_array(values_C.astype(np.float32), bias.name))
    onnx.save(model, path)


def test_graph_as_written_is_accepted(path: Path, reference: Reference) -> None:
    verify_onnx(path, reference)


def test_graph_with_one_changed_weight_is_refused(path: Path, reference: Reference) -> None:
    _change_bias(path, by=0.01)

    with pytest.raises(ExportFailed, match=r"student\.onnx was run on 5 images"):
        verify_onnx(path, reference)


def test_file_that_is_no_graph_is_refused(path: Path, reference: Reference) -> None:
    path.write_bytes(path.read_bytes()[:200])

    with pytest.raises(ExportFailed, match="cannot run"):
        verify_onnx(path, reference)


def test_graph_with_another_input_is_refused(path: Path, reference: Reference) -> None:
    other = Reference(reference.images_BCHW[:, :2], reference.logits_BC)

    with pytest.raises(ExportFailed, match="cannot run"):
        verify_onnx(path, other)


def test_weights_beyond_two_gibibytes_are_refused_before_work_begins() -> None:
    class Huge(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.empty(2**29, 1, device="meta"))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images * self.weight[:1]

    program = torch.export.export(Huge(), (torch.zeros(1, 1, device="meta"),))

    with pytest.raises(ExportFailed, match="2 GiB"):
        _check_size(program)
