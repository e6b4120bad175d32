"""A large upload and download through S3, and how much memory the API takes meanwhile.

    python -m benchmarks.large_transfer --gibibytes 5

Starts PostgreSQL, Redis, SeaweedFS and Potstill in a temporary folder, which needs four times the
size on disk. The file is uploaded and downloaded twice: by signed links, and through the API.
"""

import argparse
import os
import secrets
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from sqlalchemy import create_engine, text

from benchmarks.measuring import machine, write_result
from benchmarks.processes import find_process, peak_bytes
from deploy.servers import Backends
from kdclient import Potstill
from kdclient.downloads import download_all
from kdclient.resources import Upload
from kdclient.services import Services
from kdclient.transport import Transport

ResultT = TypeVar("ResultT")

_BLOCK_BYTES = 2**20
_JOB = {"kind": "train", "dataset": "digits", "network": {"architecture": "mlp", "hidden": [8]}}


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gibibytes", type=float, default=5.0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    num_bytes = int(options.gibibytes * 2**30)
    ways = {}
    for way, links in (("signed_links", "true"), ("through_the_api", "false")):
        with tempfile.TemporaryDirectory() as folder:
            ways[way] = measure(Path(folder), num_bytes=num_bytes, signed_links=links)
            print(way, ways[way], flush=True)
    write_result(
        options.out / f"large_transfer_{datetime.now(UTC).date()}.json",
        {"machine": machine(len(os.sched_getaffinity(0))), "num_bytes": num_bytes, **ways},
    )


def measure(folder: Path, *, num_bytes: int, signed_links: str) -> dict[str, float]:
    """Upload and download a file of random bytes; seconds, and the API's peak memory in bytes."""
    source = folder / "large.npz"
    write_random(source, num_bytes)
    with Backends(folder / "servers") as backends:
        environment = {
            **os.environ,
            **backends.environment,
            "POTSTILL_SIGNED_LINKS": signed_links,
        }
        with Services(folder / "data", environment=environment) as services:
            connection = services.start()
            transport = Transport(connection.url, connection.api_key)
            with Potstill(connection.url, connection.api_key) as client:
                job = client.wait_for_job(client.create_job(_JOB).id)
                api = find_process("api")
                uploading, upload = timed(lambda: client.upload(source, "dataset"))
                after_upload = peak_bytes(api)
                (artifact, *_) = client.artifacts(job.id)
                point_at(backends.postgres.url, artifact_of=job.id, upload=upload)
                (artifact, *_) = client.artifacts(job.id)
                downloading, _ = timed(
                    lambda: download_all(
                        transport, [artifact], folder / "back", on_bytes=lambda _: None
                    )
                )
                return {
                    "upload_seconds": uploading,
                    "download_seconds": downloading,
                    "api_peak_bytes_after_upload": after_upload,
                    "api_peak_bytes": peak_bytes(api),
                }


def write_random(path: Path, num_bytes: int) -> None:
    """Write a file that nothing can compress or deduplicate."""
    with path.open("wb") as file:
        for _ in range(num_bytes // _BLOCK_BYTES):
            file.write(secrets.token_bytes(_BLOCK_BYTES))


def point_at(url: str, *, artifact_of: str, upload: Upload) -> None:
    """Let the job's first artifact be the uploaded bytes: no job makes a file as large as this."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE artifacts SET size_bytes = :size, sha256 = :sha256, object_key = :key "
                "WHERE job_id = :job_id AND name = (SELECT min(name) FROM artifacts "
                "WHERE job_id = :job_id)"
            ),
            {
                "size": upload.size_bytes,
                "sha256": upload.sha256,
                "key": f"blobs/{upload.sha256}",
                "job_id": artifact_of,
            },
        )
    engine.dispose()


def timed(action: Callable[[], ResultT]) -> tuple[float, ResultT]:
    """Do something; the seconds it took, and what it gave."""
    started = time.perf_counter()
    result = action()
    return time.perf_counter() - started, result


if __name__ == "__main__":
    main()
