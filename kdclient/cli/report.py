"""`potstill report`: what the networks of a finished job score and cost."""

from typing import Annotated

import typer

from kdclient.cli import options
from kdclient.cli.options import connect
from kdclient.cli.tables import print_comparison
from kdclient.comparison import compare


def report(
    job_id: options.JobId,
    split: Annotated[str, typer.Option("--split", help="Which split of the dataset.")] = "test",
    markdown: Annotated[bool, typer.Option("--markdown", help="As a Markdown table.")] = False,
    url: options.Url = None,
    api_key: options.ApiKey = None,
) -> None:
    """Print the report of a finished job: teacher, student, control, and the difference."""
    with connect(url, api_key) as client:
        found = client.report(job_id)
    if markdown:
        print(compare(found, split=split).as_markdown())
    else:
        print_comparison(found, split=split)
