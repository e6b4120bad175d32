"""`potstill retry`: give a failed or cancelled job another go."""

from typing import Annotated

import typer

from kdclient.cli import options
from kdclient.cli.options import connect

MaxSeconds = Annotated[
    int | None,
    typer.Option(min=1, help="Seconds of training, all attempts together.", show_default=False),
]
MaxAttempts = Annotated[
    int | None,
    typer.Option(min=1, help="Attempts before the job has failed again.", show_default=False),
]


def retry(
    job_id: options.JobId,
    max_seconds: MaxSeconds = None,
    max_attempts: MaxAttempts = None,
    url: options.Url = None,
    api_key: options.ApiKey = None,
) -> None:
    """Go on with a failed or cancelled job from its newest checkpoint.

    Limits stay as they are, unless you give others.
    """
    with connect(url, api_key) as client:
        job = client.retry(job_id, max_seconds=max_seconds, max_attempts=max_attempts)
    print(f"{job.id} is {job.status}. See it with: potstill watch {job.id}")
