"""`potstill cancel`: end a job."""

from kdclient.cli import options
from kdclient.cli.options import connect


def cancel(job_id: options.JobId, url: options.Url = None, api_key: options.ApiKey = None) -> None:
    """End a job. What it has trained so far stays; `potstill retry` goes on from there."""
    with connect(url, api_key) as client:
        job = client.cancel(job_id)
    print(f"{job.id} is {job.status}.")
