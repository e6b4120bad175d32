"""The API beside PostgreSQL on two cores, with a crowd that reads: does it stay quick?

    python -m benchmarks.many_readers --streams 500 --pollers 1000 --poll-seconds 5 --apis 2

A job trains and tells of it all the time. Everybody watches that one job: some by its live stream,
others by reading its status again and again. A few more read it one after the other, and their
times are what is reported: they see what a person sees. The crowd runs on the other cores.
"""

import argparse
import asyncio
import itertools
import os
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from benchmarks.measuring import machine, write_result
from benchmarks.processes import find_process
from deploy.servers import Backends
from deploy.servers.ports import ReservedPort, accepts
from kdclient import Potstill, children
from kdclient.services import Services

_SPEC: dict[str, Any] = {
    "kind": "train",
    "name": "watched",
    "dataset": "digits",
    "network": {"architecture": "mlp", "hidden": [64]},
    "training": {"num_epochs": 100_000, "batch_size": 256},  # it is cancelled at the end
}
_NUM_PROBES = 4


@dataclass
class Crowd:
    """What everybody together has seen."""

    polls_ms: list[float] = field(default_factory=list)
    probes_ms: list[float] = field(default_factory=list)
    num_messages: int = 0
    num_streams_open: int = 0
    is_measured: bool = False


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--pollers", type=int, default=1000)
    parser.add_argument("--apis", type=int, default=2, help="processes, as a deployment scales")
    parser.add_argument("--poll-seconds", type=float, default=5.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[:2])  # inherited by all that is started now
    with (
        tempfile.TemporaryDirectory() as folder,
        Backends(Path(folder) / "servers") as backends,
        ExitStack() as stack,
    ):
        environment = {
            **os.environ,
            **backends.environment,
            "POTSTILL_TRAINING_THREADS": "1",
        }
        services = Services(Path(folder) / "data", environment=environment)
        connection = stack.enter_context(services).start()
        service = psutil.Process(find_process("api"))
        sites = [Site(connection.url, service)]
        sites += [
            start_api(stack, number, services, environment) for number in range(1, options.apis)
        ]
        worker = psutil.Process(find_process("worker"))
        for process in (worker, *worker.children(recursive=True)):
            process.cpu_affinity(cores[2:])
        os.sched_setaffinity(0, cores[2:])
        with Potstill(connection.url, connection.api_key) as client:
            job = client.create_job(_SPEC)
            while client.job(job.id).stage != "training":
                time.sleep(0.1)
            path = f"/v1/jobs/{job.id}"
            result = asyncio.run(watch(sites, connection.api_key, path, options))
            client.cancel(job.id)
            while client.job(job.id).status != "cancelled":
                time.sleep(0.1)
    print(result)
    write_result(
        options.out / f"many_readers_{datetime.now(UTC).date()}.json",
        {"machine": machine(1), "options": {**vars(options), "out": None}, **result},
    )


@dataclass(frozen=True)
class Site:
    """An API process, and where it is."""

    url: str
    process: psutil.Process


def start_api(
    stack: ExitStack, number: int, services: Services, environment: dict[str, str]
) -> Site:
    """Start one more API on the same database, until it answers."""
    port = ReservedPort()
    stack.callback(port.close)
    child = children.start(
        f"api-{number}",
        ["api"],
        environment={
            **environment,
            "POTSTILL_DATA_DIR": str(services.data_dir),
            "POTSTILL_PORT": str(port.number),
        },
        log_folder=services.log_folder,
    )
    stack.callback(children.stop, [child], grace_seconds=10.0)
    while not accepts(port.number):
        child.raise_if_dead()
        time.sleep(0.1)
    return Site(f"http://127.0.0.1:{port.number}", psutil.Process(child.process.pid))


async def watch(
    sites: Sequence[Site], token: str, path: str, options: argparse.Namespace
) -> dict[str, Any]:
    """Let the crowd in, wait until all are there, and measure."""
    crowd = Crowd()
    urls = itertools.cycle(site.url for site in sites)
    tasks = [
        asyncio.create_task(follow(crowd, next(urls), token, f"{path}/events"))
        for _ in range(options.streams)
    ]
    tasks += [
        asyncio.create_task(poll(crowd, next(urls), token, path, every=options.poll_seconds))
        for _ in range(options.pollers)
    ]
    await asyncio.sleep(2 * options.poll_seconds)
    tasks += [
        asyncio.create_task(probe(crowd, next(urls), token, path)) for _ in range(_NUM_PROBES)
    ]
    crowd.is_measured, crowd.num_messages = True, 0
    cpu_before = cpu_seconds(sites)
    began = time.perf_counter()
    await asyncio.sleep(options.seconds)
    elapsed = time.perf_counter() - began
    cores_used = (cpu_seconds(sites) - cpu_before) / elapsed
    for task in tasks:
        if task.done():
            task.result()  # nobody may have left
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
    return {
        "streams_open": crowd.num_streams_open,
        "stream_messages_a_second": crowd.num_messages / elapsed,
        "polls_a_second": len(crowd.polls_ms) / elapsed,
        "poll_ms": spread(crowd.polls_ms or [0.0]),
        "probe_ms": spread(crowd.probes_ms),
        "api_cores_used": cores_used,
        "api_memory_mb": [site.process.memory_info().rss / 1e6 for site in sites],
    }


def cpu_seconds(sites: Sequence[Site]) -> float:
    """Add up what the API processes have used."""
    return float(sum(sum(site.process.cpu_times()[:2]) for site in sites))


async def follow(crowd: Crowd, url: str, token: str, path: str) -> None:
    """Read a job's live stream for ever."""
    await asyncio.sleep(random.uniform(0, 3))  # noqa: S311  # people do not come at one moment
    reader = await ask(url, token, path, accept="text/event-stream")
    status = await read_status(reader[0])
    assert status == 200, status
    crowd.num_streams_open += 1
    while line := await reader[0].readline():
        crowd.num_messages += line.startswith(b"event:")
    raise AssertionError("a stream has ended")


async def poll(crowd: Crowd, url: str, token: str, path: str, *, every: float) -> None:
    """Read a job's status at that pace, over one connection."""
    await asyncio.sleep(random.uniform(0, every))  # noqa: S311
    reader, writer = await connect(url)
    while True:
        elapsed_ms = await read_once(reader, writer, url, token, path)
        if crowd.is_measured:
            crowd.polls_ms.append(elapsed_ms)
        # Each at a pace of its own, or a stall here would have them all ask at one moment for ever.
        await asyncio.sleep(random.uniform(0.9, 1.1) * every)  # noqa: S311


async def probe(crowd: Crowd, url: str, token: str, path: str) -> None:
    """Read a job's status a few times a second, and keep the times."""
    reader, writer = await connect(url)
    while True:
        crowd.probes_ms.append(await read_once(reader, writer, url, token, path))
        await asyncio.sleep(random.uniform(0.1, 0.3))  # noqa: S311


async def read_once(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, url: str, token: str, path: str
) -> float:
    """Read a job's status; the milliseconds it took."""
    began = time.perf_counter()
    writer.write(request(url, token, path, accept="application/json"))
    status = await read_status(reader)
    assert status == 200, status
    return (time.perf_counter() - began) * 1000


async def connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection."""
    parts = urlsplit(url)
    return await asyncio.open_connection(parts.hostname, parts.port)


async def ask(
    url: str, token: str, path: str, *, accept: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection and send one request on it."""
    reader, writer = await connect(url)
    writer.write(request(url, token, path, accept=accept))
    return reader, writer


def request(url: str, token: str, path: str, *, accept: str) -> bytes:
    """Write a GET."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nAccept: {accept}\r\n"
        f"Authorization: Bearer {token}\r\n\r\n"
    ).encode()


async def read_status(reader: asyncio.StreamReader) -> int:
    """Read the head of an answer, and its body if its length is told."""
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            await reader.readexactly(int(value))
    return int(head.split(b" ", 2)[1])


def spread(values: Sequence[float]) -> dict[str, float]:
    """Give median, 99th percentile, largest and count."""
    ordered = sorted(values)
    return {
        "median": statistics.median(ordered),
        "p99": ordered[int(0.99 * (len(ordered) - 1))],
        "max": ordered[-1],
        "count": len(ordered),
    }


if __name__ == "__main__":
    main()
