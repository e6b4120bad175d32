"""How quickly the service answers: submit to first step, a status read, importing the API.

    python -m benchmarks.service_latency

Starts the embedded default in a temporary folder. "First step" is the time from sending the POST
until the job's progress or first metric is visible over HTTP: with a worker that has been idle, and
with one whose job before has ended at that moment.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.measuring import machine, write_result
from kdclient import Potstill
from kdclient.services import Services

SPEC: dict[str, Any] = {
    "kind": "train",
    "name": "first step",
    "dataset": "digits",
    "network": {"architecture": "mlp", "hidden": [64]},
    # Long enough to be seen training; it is cancelled at its first step.
    "training": {"num_epochs": 5000, "batch_size": 32},
}
IMPORT = "import time; t = time.perf_counter(); import api.main; print(time.perf_counter() - t)"


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tiny-jobs", type=int, default=30)
    parser.add_argument("--reads", type=int, default=500)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        Services(Path(folder) / "data", environment=dict(os.environ)) as services,
    ):
        connection = services.start()
        with (
            Potstill(connection.url, api_key=connection.api_key) as client,
            httpx.Client(
                base_url=connection.url,
                headers={"Authorization": f"Bearer {connection.api_key}"},
                trust_env=False,
            ) as http,
        ):
            client.wait_until_ready(client.dataset("digits"))
            first_steps = [first_step_seconds(client, http) for _ in range(options.repeats)]
            next_steps = next_step_seconds(client, http, options.repeats)
            tiny_jobs = tiny_jobs_cost(client, options.tiny_jobs)
            reads_ms = read_milliseconds(client, http, options.reads)
    imports = [import_seconds() for _ in range(options.repeats)]
    show("submit to first training step", first_steps, "s")
    show("the same right after another job", next_steps, "s")
    show("tiny jobs, each", [tiny_jobs.wall_seconds], "s")
    show("tiny jobs, CPU time each", [tiny_jobs.cpu_seconds], "s")
    show("GET /v1/jobs/{id}, one client", reads_ms, "ms")
    show("import api.main", imports, "s")
    write_result(
        options.out / f"service_latency_{datetime.now(UTC).date()}.json",
        {
            "machine": machine(len(os.sched_getaffinity(0))),
            "submit_to_first_step_seconds": first_steps,
            "submit_to_first_step_right_after_another_job_seconds": next_steps,
            "tiny_jobs": {
                "jobs": options.tiny_jobs,
                "wall_seconds_each": tiny_jobs.wall_seconds,
                "cpu_seconds_each": tiny_jobs.cpu_seconds,
            },
            "status_read_ms": {
                "median": statistics.median(reads_ms),
                "p99": sorted(reads_ms)[int(0.99 * len(reads_ms))],
                "reads": len(reads_ms),
            },
            "import_api_main_seconds": imports,
        },
    )


def first_step_seconds(client: Potstill, http: httpx.Client) -> float:
    """Post a job, wait for its first step, end it, let the worker settle."""
    elapsed = _step_and_end(client, http)
    time.sleep(6)  # the next spare process gets ready; a warm worker has done so
    return elapsed


def next_step_seconds(client: Potstill, http: httpx.Client, repeats: int) -> list[float]:
    """Post each job at the moment when the one before has ended; leave out the first."""
    return [_step_and_end(client, http) for _ in range(repeats + 1)][1:]


def _step_and_end(client: Potstill, http: httpx.Client) -> float:
    """Post a job and wait for its first step, which is timed; cancel it and wait for its end."""
    started = time.perf_counter()
    job = client.create_job(SPEC)
    while not _has_stepped(http, job.id):
        time.sleep(0.01)
    elapsed = time.perf_counter() - started
    client.cancel(job.id)
    while client.job(job.id).status != "cancelled":
        time.sleep(0.01)
    return elapsed


@dataclass(frozen=True)
class TinyJobs:
    """What a job costs that hardly computes: mean seconds of the clock and of all processes."""

    wall_seconds: float
    cpu_seconds: float


def tiny_jobs_cost(client: Potstill, num_jobs: int) -> TinyJobs:
    """Queue jobs of one epoch without exports at once, and wait for them all."""
    spec = SPEC | {
        "training": {"num_epochs": 1},
        "evaluation": {"latency": False},
        "exports": ["safetensors"],
    }
    started, cpu_before = time.perf_counter(), _cpu_seconds_of_service()
    for job in [client.create_job(spec) for _ in range(num_jobs)]:
        if client.wait_for_job(job.id).status != "succeeded":
            raise RuntimeError(f"{job.id} has failed")
    return TinyJobs(
        (time.perf_counter() - started) / num_jobs,
        (_cpu_seconds_of_service() - cpu_before) / num_jobs,
    )


def _cpu_seconds_of_service() -> float:
    """Add up what the processes of the service have used, with those that have ended."""
    processes = psutil.Process().children(recursive=True)
    return sum(sum(process.cpu_times()[:4]) for process in processes)


def _has_stepped(http: httpx.Client, job_id: str) -> bool:
    answer = http.get(f"/v1/jobs/{job_id}/metrics", params={"name": "loss"})
    return bool(answer.raise_for_status().json()["series"])


def read_milliseconds(client: Potstill, http: httpx.Client, reads: int) -> list[float]:
    """Read the status of a finished job again and again over one connection."""
    short = SPEC | {"training": {"num_epochs": 2}}
    job = client.wait_for_job(client.create_job(short).id)
    times = []
    for _ in range(reads):
        started = time.perf_counter()
        http.get(f"/v1/jobs/{job.id}").raise_for_status()
        times.append((time.perf_counter() - started) * 1000)
    return times


def import_seconds() -> float:
    """Import the API in a fresh interpreter."""
    answer = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, check=True)
    return float(answer.stdout)


def show(what: str, values: list[float], unit: str) -> None:
    """Print median and spread."""
    print(
        f"{what:32} median {statistics.median(values):8.3f} {unit} "
        f"({min(values):.3f} to {max(values):.3f})"
    )


if __name__ == "__main__":
    main()
