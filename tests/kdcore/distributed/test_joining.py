"""Which device each rank has, and when there are too few."""

import pytest
import torch

from kdcore.distributed import check_devices, count_gpus, device_of_rank
from kdcore.errors import IncompatibleInputs


@pytest.mark.parametrize(
    ("device", "devices"),
    [("cpu", ["cpu", "cpu"]), ("cuda", ["cuda:0", "cuda:1"]), ("cuda:0", ["cuda:0", "cuda:1"])],
)
def test_ranks_have_a_gpu_each_or_share_the_cpu(device: str, devices: list[str]) -> None:
    assert [device_of_rank(device, rank) for rank in range(2)] == devices


def test_gpu_that_is_named_is_one_and_a_cpu_none() -> None:
    assert count_gpus("cuda:1") == 1
    assert count_gpus("cpu") == 0
    assert count_gpus("cuda") == torch.cuda.device_count()


def test_more_processes_than_gpus_are_refused() -> None:
    with pytest.raises(IncompatibleInputs, match="2 processes need a GPU each, and there are 1"):
        check_devices("cuda:0", 2)


def test_cpu_has_room_for_all() -> None:
    check_devices("cpu", 16)
