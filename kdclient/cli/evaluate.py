"""`potstill evaluate`: measure networks on a dataset, each alone and all together."""

from typing import Annotated, Any

import typer

from kdclient.cli import job_options, options
from kdclient.cli.job_options import tags_of
from kdclient.cli.options import connect
from kdclient.cli.running import model_id, submit

Models = Annotated[
    list[str],
    typer.Argument(metavar="MODEL…", help="Models (mdl_…), or finished jobs (job_…)."),
]
Dataset = Annotated[
    str, typer.Option("--dataset", help="Id of a dataset, or a built-in such as digits.")
]
Weights = Annotated[
    list[float] | None,
    typer.Option("--weight", help="Of each model in the mean, in their order; all alike if none."),
]
Average = Annotated[
    str | None, typer.Option("--average", help="What is averaged: probabilities or logits.")
]
Splits = Annotated[
    list[str] | None, typer.Option("--split", help="train or test; may be given twice.")
]


def evaluate(
    models: Models,
    *,
    dataset: Dataset,
    weight: Weights = None,
    average: Average = None,
    split: Splits = None,
    name: job_options.Name = None,
    tag: job_options.TagList = None,
    dry_run: job_options.DryRun = False,
    detach: job_options.Detach = False,
    url: options.Url = None,
    api_key: options.ApiKey = None,
) -> None:
    """Measure networks on a dataset, each alone and, of several, all together.

    Nothing is trained. Shows progress until the job has ended; Ctrl-C only stops the showing.
    """
    if weight and len(weight) != len(models):
        raise typer.BadParameter(
            f"{len(models)} models and {len(weight)} weights; give one for each, or none",
            param_hint="--weight",
        )
    spec: dict[str, Any] = {"kind": "evaluate", "dataset": dataset}
    job_options.merge(spec, {"name": name, "average": average})
    if split:
        spec["evaluation"] = {"splits": split}
    if tag:
        spec["tags"] = tags_of(tag)
    with connect(url, api_key) as client:
        spec["models"] = [{"model": model_id(client, given)} for given in models]
        for member, share in zip(spec["models"], weight or (), strict=False):
            member["weight"] = share
        submit(client, spec, dry_run=dry_run, detach=detach)
