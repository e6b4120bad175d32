"""How much memory of each GPU is taken, as the driver tells; no process of ours opens a GPU."""

import subprocess
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

_NVIDIA_SMI = ("nvidia-smi", "--query-gpu=index,memory.used", "--format=csv,noheader,nounits")
_ASK_SECONDS = 5.0
_MEBIBYTE = 2**20


class GpuMemoryCollector(Collector):
    """Asks the driver at each scrape; where it does not answer, there is no number."""

    def describe(self) -> Iterator[Metric]:
        """Name nothing: to be registered must start no program."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Give the memory that all processes together have taken."""
        used = GaugeMetricFamily(
            "potstill_gpu_memory_bytes", "Memory of a GPU that is taken.", labels=("device",)
        )
        for index, used_bytes in _ask_driver().items():
            used.add_metric((index,), used_bytes)
        yield used


def _ask_driver() -> dict[str, int]:
    try:
        told = subprocess.run(
            _NVIDIA_SMI, capture_output=True, text=True, timeout=_ASK_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    return parse_memory(told.stdout)


def parse_memory(told: str) -> dict[str, int]:
    """Read lines such as `0, 1234` (index, MiB) into bytes by index.

    A GPU that tells no number (`[N/A]`, as parts of one do) is left out.
    """
    found = (line.split(",") for line in told.splitlines() if line.count(",") == 1)
    return {index.strip(): int(used) * _MEBIBYTE for index, used in found if used.strip().isdigit()}
