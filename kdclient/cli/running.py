"""From a spec to its end: submit, show progress, show the result."""

import sys
from collections.abc import Mapping
from typing import Any, NoReturn

from rich.console import Console

from kdclient.cli.job_display import JobDisplay
from kdclient.cli.tables import print_comparison
from kdclient.client import Potstill
from kdclient.errors import ApiProblem
from kdclient.jobs import require_success
from kdclient.resources import Job, Plan

_INTERRUPTED = 130  # what shells use for a program ended by Ctrl-C


def model_id(client: Potstill, given: str) -> str:
    """The id of a model; what a job trained becomes a model first."""
    if not given.startswith("job_"):
        return given
    for model in client.models():
        if model.job_id == given and model.status != "rejected":
            return client.wait_until_ready(model).id
    job = client.job(given)
    model = client.create_model_from_job(job.name or job.id, job_id=job.id)
    return client.wait_until_ready(model).id


def submit(client: Potstill, spec: Mapping[str, Any], *, dry_run: bool, detach: bool) -> None:
    """Create the job (or only say what it would be) and follow it to its end."""
    if dry_run:
        print_plan(client.validate_job(spec))
        return
    job = _create(client, spec)
    print(job.id)
    if not detach:
        follow(client, job.id)


def _create(client: Potstill, spec: Mapping[str, Any]) -> Job:
    try:
        return client.create_job(spec)
    except ApiProblem as problem:
        if problem.code != "dataset_not_ready":
            raise
    # Just uploaded, or a built-in one of a service that has just been started.
    transfer = spec.get("transfer") or {}
    for dataset_id in filter(None, (spec["dataset"], transfer.get("dataset"))):
        client.wait_until_ready(client.dataset(str(dataset_id)))
    return client.create_job(spec)


def follow(client: Potstill, job_id: str) -> None:
    """Show a job's progress until it has ended, then its report; Ctrl-C only stops the showing.

    Raises:
        JobFailed, JobCancelled: it did not succeed.
    """
    try:
        job = show_until_ended(client, job_id)
    except KeyboardInterrupt:
        _leave_running(job_id)
    require_success(job)
    print_comparison(client.report(job_id))
    print(f"Get its files with: potstill download {job_id}")


def show_until_ended(client: Potstill, job_id: str) -> Job:
    """Show a job's progress on stderr until it has ended."""
    with JobDisplay(Console(stderr=True)) as display:
        for job in client.watch(job_id):
            display.show(job)
    return job


def print_plan(plan: Plan) -> None:
    """Print what a job would be and cost."""
    Console().print_json(plan.model_dump_json())


def _leave_running(job_id: str) -> NoReturn:
    print(
        f"\nThe job goes on. See it again with: potstill watch {job_id}\n"
        f"End it with: potstill cancel {job_id}",
        file=sys.stderr,
    )
    sys.exit(_INTERRUPTED)
