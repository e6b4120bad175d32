"""What importing the API loads: nothing heavy, and nothing happens."""

import subprocess
import sys

import pytest

_HEAVY = (
    "torch",
    "numpy",
    "torchvision",
    "PIL",
    "sklearn",
    "onnx",
    "safetensors",
    # FastAPI itself loads OpenTelemetry's interface; these do the work.
    "opentelemetry.sdk",
    "opentelemetry.exporter",
)


@pytest.mark.parametrize("module", ["api.main", "api.__main__", "api.first_key"])
def test_importing_the_api_loads_nothing_heavy(
    module: str,
) -> None:
    program = f"import {module}, sys; print([name for name in {_HEAVY!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_importing_the_api_reads_no_environment_and_touches_no_file(tmp_path: object) -> None:
    program = "import api.main, os; print(os.listdir('.'))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=str(tmp_path),
        env={"POTSTILL_DATABASE_URL": "no url at all", "PATH": "/usr/bin"},
    )
    assert done.stdout.strip() == "[]"
