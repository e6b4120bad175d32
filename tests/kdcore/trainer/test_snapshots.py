"""What a snapshot holds, and that training on changes none of it."""

import pytest
import torch

from kdcore.trainer.snapshots import Staging
from tests.kdcore.trainer.states import state

_DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
CPU = torch.device("cpu")


@pytest.mark.parametrize("device", _DEVICES)
def test_snapshot_stays_as_it_was_while_the_tensors_change(device: str) -> None:
    weight = torch.ones(1000, 1000, device=device)
    taken = state(1, weight)
    snapshot = Staging(torch.device(device)).snapshot(taken)
    for _ in range(100):
        weight.add_(1.0)
    taken.optimizer["0/momentum_buffer"].zero_()
    taken.history.add("student", "loss", 2, 0.25)
    taken.finished["student"] = {"weight": weight}

    snapshot.wait()

    assert snapshot.tensors["network/weight"].eq(1.0).all()
    assert snapshot.tensors["optimizer/0/momentum_buffer"].eq(2.0).all()
    assert snapshot.tensors["window/loss"].item() == 1.0
    assert snapshot.tensors["history/student/loss"].tolist() == [[1.0], [0.5]]
    assert [name for name in snapshot.tensors if name.startswith("finished/")] == [
        "finished/assistant_1/weight"
    ]
    assert {each.device for each in snapshot.tensors.values()} == {CPU}


def test_next_snapshot_takes_the_memory_of_the_one_before() -> None:
    staging = Staging(CPU)
    first = staging.snapshot(state(1, torch.ones(3))).tensors["network/weight"]
    second = staging.snapshot(state(2, torch.full((3,), 7.0))).tensors["network/weight"]
    assert second.data_ptr() == first.data_ptr()
    assert second.tolist() == [7.0, 7.0, 7.0]


def test_tensor_of_another_shape_or_layout_gets_memory_of_its_own() -> None:
    staging = Staging(CPU)
    images = torch.arange(24.0).reshape(1, 2, 3, 4)
    for weight in (torch.ones(3), images, images.contiguous(memory_format=torch.channels_last)):
        taken = staging.snapshot(state(1, weight)).tensors["network/weight"]
        assert torch.equal(taken, weight)
        assert taken.stride() == weight.stride()


def test_what_is_no_longer_there_is_in_no_snapshot() -> None:
    staging = Staging(CPU)
    staging.snapshot(state(1, torch.ones(3)))
    later = state(2, torch.ones(3))
    later.network = {}
    assert "network/weight" not in staging.snapshot(later).tensors
