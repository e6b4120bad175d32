"""What the driver tells becomes bytes by GPU; where there is no driver there is no number."""

from pathlib import Path

import pytest

from worker.gpu_memory import GpuMemoryCollector, parse_memory


def test_mebibytes_of_each_gpu_become_bytes() -> None:
    assert parse_memory("0, 1234\n1, 5\n") == {"0": 1234 * 2**20, "1": 5 * 2**20}


def test_gpu_that_tells_no_number_is_left_out() -> None:
    assert parse_memory("0, [N/A]\n1, 5\n\n") == {"1": 5 * 2**20}


def test_machine_without_a_driver_has_the_family_and_no_sample(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        (family,) = GpuMemoryCollector().collect()
    assert (family.name, family.samples) == ("potstill_gpu_memory_bytes", [])
