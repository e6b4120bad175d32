"""The main job end to end on PostgreSQL, Redis and S3: `make demo-production`.

Starts the three servers on free ports of this machine, and on them the very round trip of
`demo.py`. Everything is stopped at the end, and on Ctrl-C.
"""

import os
import shutil
import sys
from pathlib import Path

import obstore
import psycopg
import redis

from deploy.servers import Backends, ServerFailed
from examples import demo
from examples.demo import DemoFailed, note, say


def main() -> int:
    """Run the demo; 0 if everything is as promised."""
    return demo.run_command(run, name="demo-production")


def run(data_dir: Path, *, summary: Path | None) -> None:
    """Do everything in `data_dir`; what an earlier demo left there is deleted first."""
    demo.require_free(data_dir)
    shutil.rmtree(data_dir / "servers", ignore_errors=True)
    say("Starting PostgreSQL, Redis and an S3 store")
    try:
        with Backends(data_dir / "servers") as backends:
            for server in backends.servers:
                note(f"{server.name} at {server.address}, process {server.pid}, in {server.folder}")
            demo.run(
                data_dir,
                summary=summary,
                environment={**os.environ, **backends.environment},
                parts="the database is PostgreSQL, the broker Redis, the objects lie in S3",
            )
            say("What lies where")
            note_contents(backends)
    except ServerFailed as error:
        raise DemoFailed(str(error)) from error


def note_contents(backends: Backends) -> None:
    """Print what each server holds or has done, asked of itself."""
    with psycopg.connect(backends.postgres.url.replace("+psycopg", "")) as connection:
        rows = connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE status = 'succeeded') FROM jobs"
        ).fetchone()
    num_jobs, num_succeeded = rows or (0, 0)
    note(f"postgres: {num_jobs} jobs, {num_succeeded} of them succeeded")
    with redis.Redis.from_url(backends.redis.url) as client:
        note(f"redis: {client.info('stats')['total_commands_processed']:,} commands answered")
    sizes = [meta["size"] for batch in obstore.list(backends.s3.bucket()) for meta in batch]
    note(f"s3: {len(sizes)} objects, {sum(sizes):,} bytes")


if __name__ == "__main__":
    sys.exit(main())
