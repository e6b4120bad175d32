"""`potstill watch`: follow a job to its end."""

from kdclient.cli import options
from kdclient.cli.options import connect
from kdclient.cli.running import follow


def watch(job_id: options.JobId, url: options.Url = None, api_key: options.ApiKey = None) -> None:
    """Show a job's progress until it has ended, then its report. Ctrl-C leaves the job running."""
    with connect(url, api_key) as client:
        follow(client, job_id)
