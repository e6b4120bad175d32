"""A reading process limits itself for good, and its limits bite."""

import subprocess
import sys

from kdcore.process_memory import data_bytes, left_of_limit

PRELUDE = (
    "from worker.process_limits import apply_limits\n"
    "from worker.messages import IngestLimits\n"
    "apply_limits(IngestLimits(\n"
    "    memory_bytes=100 * 2**20, file_bytes=1000, cpu_seconds=1, wall_seconds=60.0))\n"
)


def run(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PRELUDE + text], capture_output=True, text=True, check=False
    )


def test_what_is_within_the_limits_is_possible() -> None:
    assert run("data = bytearray(10 * 2**20)").returncode == 0


def test_memory_ends_in_an_error() -> None:
    assert "MemoryError" in run("data = bytearray(200 * 2**20)").stderr


def test_file_size_ends_in_an_error() -> None:
    text = "import tempfile; file = tempfile.TemporaryFile(); file.write(bytes(2000)); file.flush()"
    assert "File too large" in run(text).stderr


def test_cpu_time_ends_the_process() -> None:
    assert run("while True: pass").returncode < 0


def test_limits_cannot_be_raised_again() -> None:
    text = (
        "import resource, os\n"
        "soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "print(soft == hard == 1000)"
    )
    assert run(text).stdout.strip() == "True"


def test_data_of_this_process_is_known() -> None:
    used = data_bytes()
    assert used is not None
    assert used > 2**20
    assert left_of_limit() is None
