"""Many jobs from many clients at once, on PostgreSQL, Redis and S3: does each end exactly once?

    python -m benchmarks.queue_load --jobs 1000 --clients 50

Two workspaces queue the same number of tiny jobs, every tenth of a higher priority; two workers
take them, and a third joins while they do. What is asserted: every job succeeded, in one attempt,
and no two attempts overlap on a worker. What is measured: how long POST takes under that load, how
long a read of the list takes meanwhile, how the jobs were ordered and shared out.
"""

import argparse
import itertools
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Row, create_engine, text

from benchmarks.measuring import machine, write_result
from deploy.servers import Backends
from kdclient import Potstill, children
from kdclient.services import Services
from kdstore import keys, workspaces
from kdstore.db import make_engine, make_session_factory, transaction

_SPEC: dict[str, Any] = {
    "kind": "train",
    "dataset": "digits",
    "network": {"architecture": "mlp", "hidden": [4]},
    "transfer": {"fraction": 0.05},
    "training": {"num_epochs": 1, "batch_size": 64},
    "evaluation": {"latency": False},
    "exports": ["safetensors"],
}
# Of each 20 jobs of a client: one for either workspace, behind many that are not urgent.
_URGENT = {13, 18}
_POLL_SECONDS = 0.5
_ATTEMPTS = """
    SELECT a.job_id, a.worker, a.started_at, a.ended_at, a.exit_cause, j.priority, j.workspace_id,
        j.created_at
    FROM attempts a JOIN jobs j ON j.id = a.job_id ORDER BY a.started_at
"""


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        Backends(Path(folder) / "servers") as backends,
    ):
        # One thread a training process: the workers share these cores.
        environment = {**os.environ, **backends.environment, "POTSTILL_TRAINING_THREADS": "1"}
        with Services(Path(folder) / "data", environment=environment) as services:
            url = services.start().url
            tokens = [make_token(backends.postgres.url, name) for name in ("first", "second")]
            result = measure(services, url, tokens, environment, options)
            rows = read_attempts(backends.postgres.url)
    result |= check(rows, num_jobs=options.jobs)
    print(result)
    write_result(
        options.out / f"queue_load_{datetime.now(UTC).date()}.json",
        {"machine": machine(1), "num_clients": options.clients, **result},
    )


def make_token(url: str, workspace_name: str) -> str:
    """Make a workspace and a key for it."""
    engine = make_engine(url)
    with transaction(make_session_factory(engine)) as session:
        workspace = workspaces.ensure(session, name=workspace_name)
        token = keys.create(session, workspace_id=workspace.id, name="load", role="member").token
    engine.dispose()
    return token


def measure(
    services: Services,
    url: str,
    tokens: Sequence[str],
    environment: dict[str, str],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Queue everything, let a second and a third worker join, and wait for the end."""
    log_folder = services.log_folder
    second = start_worker("worker-2", services.data_dir, environment, log_folder)
    started = time.perf_counter()
    with ThreadPoolExecutor(options.clients) as pool:
        share = -(-options.jobs // options.clients)
        firsts = range(0, options.jobs, share)
        batches = [range(first, min(first + share, options.jobs)) for first in firsts]
        posts_ms = [
            each
            for told in pool.map(lambda batch: post(url, tokens, batch), batches)
            for each in told
        ]
    queued_seconds = time.perf_counter() - started
    third = start_worker("worker-3", services.data_dir, environment, log_folder)
    try:
        reads_ms = wait_for_end(url, tokens)
    finally:
        children.stop([second, third], grace_seconds=25.0)
    return {
        "queued_seconds": queued_seconds,
        "all_ended_seconds": time.perf_counter() - started,
        "post_ms": spread(posts_ms),
        "list_read_ms": spread(reads_ms),
    }


def start_worker(
    name: str, data_dir: Path, environment: dict[str, str], log_folder: Path
) -> children.Child:
    """Start one more worker on the same service."""
    own = {**environment, "POTSTILL_DATA_DIR": str(data_dir)}
    return children.start(name, ["worker"], environment=own, log_folder=log_folder)


def post(url: str, tokens: Sequence[str], numbers: range) -> list[float]:
    """Queue jobs one after the other; the milliseconds that each POST took."""
    times = []
    for number in numbers:
        # Everyone is a client of its own, as many machines are.
        with Potstill(url, tokens[number % len(tokens)]) as client:
            began = time.perf_counter()
            priority = 10 if number % 20 in _URGENT else 0
            client.create_job({**_SPEC, "name": f"load {number}", "priority": priority})
            times.append((time.perf_counter() - began) * 1000)
    return times


def wait_for_end(url: str, tokens: Sequence[str]) -> list[float]:
    """Read the queue until it is empty and nobody works; the milliseconds of every read."""
    times = []
    clients = [Potstill(url, token) for token in tokens]
    while True:
        is_busy = False
        for client in clients:
            for status in ("queued", "running"):
                began = time.perf_counter()
                is_busy |= next(iter(client.jobs(status=status)), None) is not None
                times.append((time.perf_counter() - began) * 1000)
        if not is_busy:
            break
        time.sleep(_POLL_SECONDS)
    for client in clients:
        client.close()
    return times


def read_attempts(url: str) -> Sequence[Row[Any]]:
    """Read every attempt, in the order in which they began."""
    engine = create_engine(url)
    with engine.connect() as connection:
        rows = connection.execute(text(_ATTEMPTS)).all()
    engine.dispose()
    return rows


def check(rows: Sequence[Row[Any]], *, num_jobs: int) -> dict[str, Any]:
    """Hold the attempts to what was promised, and tell how the work was shared out."""
    assert len(rows) == num_jobs, f"{len(rows)} attempts for {num_jobs} jobs"
    assert len({row.job_id for row in rows}) == num_jobs
    assert {row.exit_cause for row in rows} == {"finished"}
    by_worker = Counter(row.worker for row in rows)
    for worker in by_worker:
        own = [row for row in rows if row.worker == worker]
        for before, after in itertools.pairwise(own):
            assert before.ended_at <= after.started_at, f"two attempts at once on {worker}"
    return {
        "num_jobs": num_jobs,
        "jobs_by_worker": sorted(by_worker.values()),
        "jobs_a_second": num_jobs / (rows[-1].ended_at - rows[0].started_at).total_seconds(),
        "longest_run_of_one_workspace": longest_run(in_turn(rows)),
        "wait_of_urgent_seconds": spread(waits(rows, urgent=True)),
        "wait_of_others_seconds": spread(waits(rows, urgent=False)),
    }


def in_turn(rows: Sequence[Row[Any]]) -> list[str]:
    """Name the workspaces of the jobs begun after the last urgent one: nothing outranks turns."""
    last = max(index for index, row in enumerate(rows) if row.priority > 0)
    return [row.workspace_id for row in rows[last + 1 :]]


def longest_run(names: Sequence[str]) -> int:
    """Count the most starts in a row that one workspace had."""
    longest = current = 0
    for index, name in enumerate(names):
        current = current + 1 if index and names[index - 1] == name else 1
        longest = max(longest, current)
    return longest


def waits(rows: Sequence[Row[Any]], *, urgent: bool) -> list[float]:
    """Give the seconds that each job of a kind was queued."""
    return [
        (row.started_at - row.created_at).total_seconds()
        for row in rows
        if (row.priority > 0) == urgent
    ]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Give median, 99th percentile and count."""
    ordered = sorted(values)
    return {
        "median": statistics.median(ordered),
        "p99": ordered[int(0.99 * (len(ordered) - 1))],
        "count": len(ordered),
    }


if __name__ == "__main__":
    main()
