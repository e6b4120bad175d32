"""Which tensors of a saved dictionary are the weights, and what beside them is skipped."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from kdcore.checkpoints import Code, open_checkpoint
from kdcore.checkpoints.state_dict_pickle import STATE_DICT_KEYS
from kdcore.errors import CheckpointRejected

if TYPE_CHECKING:
    from tests.kdcore.checkpoints.conftest import PickleAssembler

Save = Callable[..., bytes]
Refused = Callable[[bytes], CheckpointRejected]


def names(path: Path) -> list[str]:
    with open_checkpoint(path) as checkpoint:
        return list(checkpoint.tensors)


@pytest.mark.parametrize("key", STATE_DICT_KEYS)
def test_weights_under_a_known_key_are_found(
    upload: Callable[[bytes], Path], saved_by_torch: Save, key: str
) -> None:
    data = saved_by_torch({"epoch": 3, key: nn.Linear(2, 2).state_dict(), "loss": torch.ones(())})
    assert names(upload(data)) == ["weight", "bias"]


def test_optimizer_state_and_plain_values_beside_the_weights_are_skipped(
    upload: Callable[[bytes], Path], saved_by_torch: Save
) -> None:
    network = nn.Linear(2, 2)
    optimizer = torch.optim.Adam(network.parameters(), betas=(0.8, 0.9))
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    beside = {
        "optimizer": optimizer.state_dict(),
        "scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 1).state_dict(),
        "epoch": 3,
        "big": 2**70,
        "best": 0.93,
        "history": [0.1, 0.2, (1, None, True)],
        "name": "run 7",
        5: {"nested": {}},
    }
    path = upload(saved_by_torch(beside | {"model": network.state_dict()}))
    assert names(path) == ["weight", "bias"]


def test_values_beside_tensors_at_the_top_are_skipped(
    upload: Callable[[bytes], Path], saved_by_torch: Save
) -> None:
    data = saved_by_torch(dict(nn.Linear(2, 2).state_dict()) | {"epoch": 3, "notes": ["x"]})
    assert names(upload(data)) == ["weight", "bias"]


def test_two_state_dicts_are_ambiguous(refused: Refused, saved_by_torch: Save) -> None:
    weights = nn.Linear(2, 2).state_dict()
    error = refused(saved_by_torch({"model": weights, "student": weights}))
    assert (error.code, error.found) == (Code.AMBIGUOUS_STATE_DICT, "model, student")


@pytest.mark.parametrize(
    "value", [torch.ones(2), [torch.ones(2)], {}, {"epoch": 3}, {"other": {"w": torch.ones(2)}}, 7]
)
def test_file_without_a_state_dict_is_refused(
    refused: Refused, saved_by_torch: Save, value: object
) -> None:
    assert refused(saved_by_torch(value)).code == Code.NO_STATE_DICT


@pytest.mark.parametrize("name", ["../w", "<script>", "a\0b", "", 7, "w" * 513])
def test_hostile_tensor_name_is_refused(
    refused: Refused, saved_by_torch: Save, name: object
) -> None:
    error = refused(saved_by_torch({name: torch.ones(1)}))
    assert (error.code, error.tensor) == (Code.TENSOR_NAME, None)


def test_tensor_listed_twice_is_refused(
    refused: Refused, torch_zip_bytes: Callable[..., bytes], assembler: "PickleAssembler"
) -> None:
    item = assembler.text("w") + assembler.tensor()
    error = refused(torch_zip_bytes(b"}(" + item + item + b"u"))
    assert (error.code, error.tensor) == (Code.DUPLICATE_TENSOR, "w")


def test_more_tensors_than_any_network_has_are_refused(
    refused: Refused, torch_zip_bytes: Callable[..., bytes], assembler: "PickleAssembler"
) -> None:
    first = assembler.text("w") + assembler.tensor() + b"q\x00"
    more = b"".join(assembler.text(f"w{number}") + b"h\x00" for number in range(20_000))
    assert refused(torch_zip_bytes(b"}(" + first + more + b"u")).code == Code.TOO_MANY_TENSORS
