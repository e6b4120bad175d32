"""Importing kdstore loads no training code, and does nothing else."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "kdstore").rglob("*.py")
)


def _run(code: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT), "POTSTILL_PORT": "not a number"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_all_of_kdstore_loads_neither_torch_nor_numpy_nor_fastapi(tmp_path: Path) -> None:
    code = (
        f"import sys, {', '.join(MODULES)}\n"
        "print([name for name in ('torch', 'numpy', 'fastapi', 'torchvision', 'sklearn')"
        " if name in sys.modules])"
    )
    assert _run(code, tmp_path) == "[]"


def test_importing_reads_no_setting_and_leaves_no_file(tmp_path: Path) -> None:
    """POTSTILL_PORT holds nonsense: whoever read the settings on import would fail."""
    _run(f"import {', '.join(MODULES)}", tmp_path)
    assert list(tmp_path.iterdir()) == []
