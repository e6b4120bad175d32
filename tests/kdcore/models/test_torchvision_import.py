"""torchvision imports beside any build of torch, and its missing operators fail loudly."""

from pathlib import Path

import pytest
import torch

from kdcore.models.torchvision_import import _compiled_operators_load, import_torchvision_models


def test_detection_operators_work_or_fail_loudly_but_never_pretend() -> None:
    package = import_torchvision_models().__file__
    assert package is not None
    boxes_N4 = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.9]])
    scores_N = torch.tensor([0.5, 0.9])

    if _compiled_operators_load(Path(package).parent.parent):
        assert torch.ops.torchvision.nms(boxes_N4, scores_N, 0.5).tolist() == [1]
    else:
        with pytest.raises(NotImplementedError, match="nms"):
            torch.ops.torchvision.nms(boxes_N4, scores_N, 0.5)


def test_importing_twice_gives_the_same_module() -> None:
    assert import_torchvision_models() is import_torchvision_models()


def test_folder_without_compiled_operators_has_none_to_load(tmp_path: Path) -> None:
    assert not _compiled_operators_load(tmp_path)


def test_operators_compiled_for_something_else_are_told_from_working_ones(tmp_path: Path) -> None:
    (tmp_path / "_C.so").write_bytes(b"not for this machine")

    assert not _compiled_operators_load(tmp_path)
