"""What is free is the least of what machine, container and the process' own limit leave."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kdcore.data.free_memory import free_bytes

CPU = torch.device("cpu")
LIMITED = (
    "import resource, torch\n"
    "from pathlib import Path\n"
    "from kdcore.data.free_memory import free_bytes\n"
    "status = Path('/proc/self/status').read_text()\n"
    "used = int(status.split('VmData:')[1].split()[0]) * 1024\n"
    "limit = used + 64 * 2**20\n"
    "resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))\n"
    "print(free_bytes(torch.device('cpu')), free_bytes(torch.device('cpu'), num_processes=2))\n"
)


def test_processes_of_a_job_share_the_machine() -> None:
    alone, shared = free_bytes(CPU), free_bytes(CPU, num_processes=1000)
    assert 2**20 < shared < alone / 100


def test_own_limit_counts_and_is_not_shared() -> None:
    told = subprocess.run(
        [sys.executable, "-c", LIMITED], capture_output=True, text=True, check=True
    )
    for free in map(int, told.stdout.split()):
        assert 48 * 2**20 < free <= 64 * 2**20


@pytest.mark.parametrize(
    ("limit", "used", "inactive_file", "free"),
    [("5000000", "3000000", 500_000, 2_500_000), ("1000", "2000", 0, 0)],
)
def test_container_s_limit_counts_without_pages_that_can_go(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    limit: str,
    used: str,
    inactive_file: int,
    free: int,
) -> None:
    monkeypatch.setattr("kdcore.data.free_memory._CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text(f"{used}\n")
    (tmp_path / "memory.stat").write_text(f"anon 7\ninactive_file {inactive_file}\nfile 9\n")
    assert free_bytes(CPU) == free


def test_container_without_a_limit_leaves_the_machine_s(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("kdcore.data.free_memory._CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("3000\n")
    assert free_bytes(CPU) > 2**20


def test_machine_that_tells_nothing_counts_with_all_it_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("kdcore.data.free_memory._MEMINFO", tmp_path / "none")
    assert free_bytes(CPU) > 2**20
