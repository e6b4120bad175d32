"""Many uploads at once to one API process on PostgreSQL: does its memory stay flat?

    python -m benchmarks.many_uploads --clients 1 20 200

Every client uploads a file of its own in parts, four at a time: to S3 by signed links, to S3
through the API, and through the API into a folder. The peak of the API's memory is taken anew for
each number of clients.
"""

import argparse
import os
import secrets
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measuring import machine, write_result
from benchmarks.processes import find_process, forget_peak, peak_bytes
from deploy.servers import Backends
from kdclient import Potstill
from kdclient.services import Services

_SMALL_PARTS = {"POTSTILL_PART_SIZE_BYTES": str(4 * 2**20)}


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 20, 200])
    parser.add_argument("--mebibytes", type=int, default=16)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    ways = {
        "signed_links": {"POTSTILL_SIGNED_LINKS": "true"},
        "through_the_api": {"POTSTILL_SIGNED_LINKS": "false"},
        "into_a_folder": {"POTSTILL_OBJECTS": ""},
    }
    results = {}
    for way, settings in ways.items():
        with tempfile.TemporaryDirectory() as folder:
            results[way] = measure(Path(folder), settings, options)
        print(way, results[way], flush=True)
    write_result(
        options.out / f"many_uploads_{datetime.now(UTC).date()}.json",
        {"machine": machine(1), "mebibytes_each": options.mebibytes, **results},
    )


def measure(
    folder: Path, settings: dict[str, str], options: argparse.Namespace
) -> list[dict[str, float]]:
    """Upload with more and more clients; seconds, and the API's peak memory in bytes."""
    results = []
    with Backends(folder / "servers") as backends:
        given = {**os.environ, **backends.environment, **_SMALL_PARTS, **settings}
        environment = {name: value for name, value in given.items() if value}
        with Services(folder / "data", environment=environment) as services:
            connection = services.start()
            api = find_process("api")
            upload_all(connection.url, connection.api_key, make_files(folder, 1, 1))
            for num_clients in options.clients:
                files = make_files(folder, num_clients, options.mebibytes)
                forget_peak(api)
                began = time.perf_counter()
                upload_all(connection.url, connection.api_key, files)
                results.append(
                    {
                        "clients": num_clients,
                        "seconds": time.perf_counter() - began,
                        "api_peak_bytes": peak_bytes(api),
                    }
                )
    return results


def make_files(folder: Path, num_files: int, mebibytes: int) -> list[Path]:
    """Write files of random bytes, each of its own."""
    paths = []
    for _ in range(num_files):
        path = folder / f"{secrets.token_hex(8)}.npz"
        path.write_bytes(secrets.token_bytes(mebibytes * 2**20))
        paths.append(path)
    return paths


def upload_all(url: str, token: str, paths: Sequence[Path]) -> None:
    """Upload files all at once, a client for each. Raises if one is not stored."""

    def upload(path: Path) -> None:
        with Potstill(url, token) as client:
            stored = client.upload(path, "dataset")
        if stored.status != "stored":
            raise RuntimeError(f"{stored.id} is {stored.status}")
        path.unlink()

    with ThreadPoolExecutor(len(paths)) as pool:
        list(pool.map(upload, paths))


if __name__ == "__main__":
    main()
