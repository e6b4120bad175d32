"""`potstill download`: all files of a finished job, checked."""

from pathlib import Path
from typing import Annotated

import typer

from kdclient.cli import options
from kdclient.cli.bytes_bar import bytes_bar
from kdclient.cli.options import connect


def download(
    job_id: options.JobId,
    folder: Annotated[
        Path | None, typer.Argument(help="Where to; a new folder named by the job if left out.")
    ] = None,
    url: options.Url = None,
    api_key: options.ApiKey = None,
) -> None:
    """Download all files of a job and check each sha256. An interrupted download goes on."""
    target = folder or Path(job_id)
    with connect(url, api_key) as client:
        total = sum(artifact.size_bytes for artifact in client.artifacts(job_id))
        with bytes_bar("downloading", total) as on_bytes:
            manifest = client.download_artifacts(job_id, target, on_bytes=on_bytes)
    print(f"{len(manifest.files) + 1} files in {target}, every sha256 as the manifest says.")
