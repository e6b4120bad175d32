"""`potstill jobs`: the newest jobs."""

import itertools
from typing import Annotated

import typer

from kdclient.cli import options
from kdclient.cli.job_display import describe
from kdclient.cli.options import connect
from kdclient.cli.tables import print_table
from kdclient.resources import Job


def jobs(
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, newest first.")] = 20,
    url: options.Url = None,
    api_key: options.ApiKey = None,
) -> None:
    """List jobs, newest first."""
    with connect(url, api_key) as client:
        found = list(itertools.islice(client.jobs(), limit))
    print_table(("id", "kind", "state", "done", "name", "created"), [_row(job) for job in found])


def _row(job: Job) -> tuple[str, ...]:
    fraction = 1.0 if job.status == "succeeded" else job.progress.fraction if job.progress else 0.0
    created = job.created_at.astimezone().strftime("%Y-%m-%d %H:%M")
    return job.id, job.kind, describe(job), f"{fraction:.0%}", job.name, created
