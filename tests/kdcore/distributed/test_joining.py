"""Which device each rank has, when there are too few, and that leaving waits for nobody."""

import os
import subprocess
import sys
from pathlib import Path

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


LEAVING = """
import sys
import time
from pathlib import Path
import torch
from kdcore.distributed import joined

def is_there() -> bool:
    tasks = Path("/proc/self/task").glob("*/comm")
    return "pt_gloo_runloop" in [path.read_text().strip() for path in tasks]

with joined(rank=0, size=1, store=Path(sys.argv[1]), device=torch.device("cpu")):
    while not is_there():  # a thread gives itself its name
        time.sleep(0.01)
print(is_there())
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the threads are counted in /proc")
def test_nobody_waits_for_the_threads_of_a_group_that_is_left(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", LEAVING, str(tmp_path / "store")],
        env=os.environ | {"GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == "True\n"
