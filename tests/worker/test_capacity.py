"""What a worker says that it has."""

import os
from pathlib import Path

import pytest

from kdstore.capacity import Capacity, DeviceKind, device_kind
from worker.capacity import measure_capacity


@pytest.mark.parametrize(
    ("device", "kind"), [("cpu", "cpu"), ("cuda", "gpu"), ("cuda:1", "gpu"), ("mps", "gpu")]
)
def test_every_device_but_cpu_is_a_gpu(device: str, kind: DeviceKind) -> None:
    assert device_kind(device) == kind


def test_cpu_worker_has_the_memory_of_the_machine_and_a_process_a_core() -> None:
    capacity = measure_capacity("cpu", num_threads=3, num_gpus=0)
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert (capacity.device_kind, capacity.max_processes) == ("cpu", 3)
    assert capacity.memory_bytes is not None
    assert 0 < capacity.memory_bytes <= physical


def test_gpu_whose_driver_does_not_tell_has_unknown_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    expected = Capacity("gpu", max_processes=1, memory_bytes=None)
    assert measure_capacity("cuda:0", num_threads=3, num_gpus=1) == expected


def test_smallest_gpu_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nprintf '81559\\n40960\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    capacity = measure_capacity("cuda", num_threads=1, num_gpus=2)
    assert capacity == Capacity("gpu", max_processes=2, memory_bytes=40960 * 2**20)
