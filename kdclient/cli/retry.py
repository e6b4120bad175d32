"""`potstill retry`: give a failed or cancelled job another go."""

from kdclient.cli import options
from kdclient.cli.options import connect


def retry(job_id: options.JobId, url: options.Url = None, api_key: options.ApiKey = None) -> None:
    """Go on with a failed or cancelled job from its newest checkpoint."""
    with connect(url, api_key) as client:
        job = client.retry(job_id)
    print(f"{job.id} is {job.status}. See it with: potstill watch {job.id}")
