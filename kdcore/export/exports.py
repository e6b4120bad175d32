"""The front door of export: one network, written in every format asked for, each one run."""

from collections.abc import Collection
from pathlib import Path

import torch

from kdcore.export.onnx_graph import write_onnx
from kdcore.export.packages import check_packages
from kdcore.export.torch_program import trace_program, write_torch_program
from kdcore.export.verification import take_reference
from kdcore.export.weights import rebuild, verify_weights, write_weights
from kdcore.models import Classifier
from kdcore.report import Run
from kdcore.spec import ExportFormat, NetworkDescription


def export_network(
    classifier: Classifier,
    description: NetworkDescription,
    *,
    run: Run,
    formats: Collection[ExportFormat],
    folder: Path,
    sample_images_BCHW: torch.Tensor,
) -> list[Path]:
    """Write `<run>.safetensors` and `.json`, `<run>.onnx`, `<run>.pt2`, as `formats` asks.

    Every file is loaded back and run on the sample images; its answers are compared with those
    of `classifier` itself. Each file is there whole or not at all. On one CPU thread all formats
    take 1 to 10 seconds for most networks, half a minute for a vision transformer and a minute
    for maxvit: tracing for any batch size costs time for each operator.

    Args:
        classifier: The trained network, on any device; it is left as it was.
        description: What rebuilds it.
        run: Names the files.
        formats: Any of "safetensors", "onnx", "torch_export".
        folder: Where to write; made if missing.
        sample_images_BCHW: Real images, floats in [0, 1]; at least one, a few dozen do.

    Returns:
        The paths that were written.

    Raises:
        PackageMissing: a format needs a package that is not installed; nothing is written.
        ExportFailed: a file does not compute what the network computes; it is removed.
    """
    check_packages(formats)
    folder.mkdir(parents=True, exist_ok=True)
    reference = take_reference(classifier, sample_images_BCHW)
    weights = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in classifier.network.state_dict().items()
    }
    paths = []
    if "safetensors" in formats:
        paths += write_weights(weights, description, run=run, folder=folder)
        verify_weights(paths[0], description, reference)
    if not {"onnx", "torch_export"} & set(formats):
        return paths
    # A network of its own: on the CPU, without hooks, wrappers or the trainer's memory layout.
    program = trace_program(rebuild(description, weights).requires_grad_(False), description)
    if "onnx" in formats:
        onnx_path = folder / f"{run}.onnx"
        paths.append(write_onnx(program, onnx_path, description=description, reference=reference))
    if "torch_export" in formats:
        pt2_path = folder / f"{run}.pt2"
        paths.append(
            write_torch_program(program, pt2_path, description=description, reference=reference)
        )
    return paths
