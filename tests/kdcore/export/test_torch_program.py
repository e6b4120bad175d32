"""The torch.export program: what it carries, and that a wrong one is found."""

import io
from pathlib import Path

import pytest
import torch

from kdcore.errors import ExportFailed
from kdcore.export.torch_program import (
    DESCRIPTION_ENTRY,
    trace_program,
    verify_torch_program,
    write_torch_program,
)
from kdcore.export.verification import Reference, take_reference
from kdcore.models import Classifier
from kdcore.spec import NetworkDescription


@pytest.fixture
def reference(classifier: Classifier, sample_images_BCHW: torch.Tensor) -> Reference:
    return take_reference(classifier, sample_images_BCHW)


def test_program_carries_its_description(
    classifier: Classifier, description: NetworkDescription, reference: Reference, tmp_path: Path
) -> None:
    program = trace_program(classifier.eval(), description)

    path = write_torch_program(
        program, tmp_path / "s.pt2", description=description, reference=reference
    )

    extra = {DESCRIPTION_ENTRY: ""}
    torch.export.load(path, extra_files=extra)
    assert NetworkDescription.model_validate_json(extra[DESCRIPTION_ENTRY]) == description


def test_program_of_other_weights_is_refused(
    classifier: Classifier, description: NetworkDescription, reference: Reference, tmp_path: Path
) -> None:
    with torch.no_grad():
        next(classifier.network.parameters()).add_(0.1)
    buffer = io.BytesIO()
    torch.export.save(trace_program(classifier.eval(), description), buffer)
    path = tmp_path / "s.pt2"
    path.write_bytes(buffer.getvalue())

    with pytest.raises(ExportFailed, match=r"s\.pt2"):
        verify_torch_program(path, reference)


def test_program_takes_any_batch_but_no_other_size(
    classifier: Classifier, description: NetworkDescription
) -> None:
    module = trace_program(classifier.eval(), description).module()

    assert module(torch.zeros(1, 3, 8, 8)).shape == (1, 4)
    assert module(torch.zeros(33, 3, 8, 8)).shape == (33, 4)
    with pytest.raises(AssertionError, match="8"):
        module(torch.zeros(1, 3, 9, 8))
