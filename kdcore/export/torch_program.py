"""`<run>.pt2`: the classifier as a torch.export program that runs without our code.

B batch, C channels, H height, W width.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.fx import config as fx_config

from kdcore.export.atomic import write_bytes
from kdcore.export.verification import Reference, check_program, removed_if_wrong
from kdcore.models import Classifier
from kdcore.spec.networks import NetworkDescription

DESCRIPTION_ENTRY = "network.json"


def trace_program(
    classifier: Classifier, description: NetworkDescription
) -> torch.export.ExportedProgram:
    """Trace the classifier for any batch size.

    The program holds no path of this machine: the same network gives the same bytes anywhere.

    Args:
        classifier: On the CPU, in eval mode.
        description: What it is; the traced images have its size.
    """
    images_BCHW = torch.zeros(2, *description.input.shape_CHW)
    batch = torch.export.Dim("batch", min=1)
    with without_stack_traces():
        return torch.export.export(classifier, (images_BCHW,), dynamic_shapes=({0: batch},))


@contextmanager
def without_stack_traces() -> Iterator[None]:
    """Keep torch from noting at every node which line of which file made it.

    The notes would end up in the file, with this machine's paths, and take a third of the time.
    """
    before = fx_config.do_not_emit_stack_traces
    fx_config.do_not_emit_stack_traces = True
    try:
        yield
    finally:
        fx_config.do_not_emit_stack_traces = before


def write_torch_program(
    program: torch.export.ExportedProgram,
    path: Path,
    *,
    description: NetworkDescription,
    reference: Reference,
) -> Path:
    """Write `program`, load the file back and run it; gives `path`.

    The file carries the description as an extra file, `network.json`. Load it with
    `torch.export.load(path).module()`; it takes float images_BCHW in [0, 1], gives logits.

    Raises:
        ExportFailed: the loaded program does not compute what the network computes.
    """
    buffer = io.BytesIO()
    # To a buffer, because torch names the folder inside the archive after the file.
    torch.export.save(
        program, buffer, extra_files={DESCRIPTION_ENTRY: description.model_dump_json()}
    )
    write_bytes(path, buffer.getvalue())
    with removed_if_wrong(path):
        verify_torch_program(path, reference)
    return path


def verify_torch_program(path: Path, reference: Reference) -> None:
    """Load a program that we wrote and run it on the reference images.

    Raises:
        ExportFailed: it does not compute what the network computes.
    """
    module = torch.export.load(path).module()
    with torch.inference_mode():
        check_program(module, reference, name=path.name)
