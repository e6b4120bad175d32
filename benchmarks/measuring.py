"""What every benchmark says of the machine it ran on, and how it writes its result."""

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any


def machine(num_threads: int) -> dict[str, Any]:
    """Describe the hardware and versions that a result was measured with."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return {
        "cpu": cpu,
        "usable_cores": len(os.sched_getaffinity(0)),
        "num_threads": num_threads,
        "python": platform.python_version(),
        "torch": version("torch"),
    }


def write_result(path: Path, result: dict[str, Any]) -> None:
    """Write a dated result as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"wrote {path}")
