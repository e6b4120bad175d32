"""A container's quota of processor time counts, the machine's cores do not."""

import os
from pathlib import Path

import pytest

from kdcore.process_cores import usable_cores


@pytest.fixture
def cpu_max(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    path = tmp_path / "cpu.max"
    monkeypatch.setattr("kdcore.process_cores._CPU_MAX", path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    return path


@pytest.mark.parametrize(
    ("told", "cores"),
    [
        ("400000 100000", 4),
        ("250000 100000", 2),
        ("50000 100000", 1),
        ("9000000 100000", 64),
        ("max 100000", 64),
        ("", 64),
    ],
)
def test_container_s_quota_counts_in_whole_cores(cpu_max: Path, told: str, cores: int) -> None:
    cpu_max.write_text(f"{told}\n")
    assert usable_cores() == cores


def test_machine_without_quotas_has_the_cores_of_the_mask(cpu_max: Path) -> None:
    assert not cpu_max.exists()
    assert usable_cores() == 64
