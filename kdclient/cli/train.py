"""`potstill train`: train one network on labels, such as a teacher."""

from typing import Annotated

import typer

from kdclient.cli import job_options, options
from kdclient.cli.job_options import CommonFields, merge, spec_from
from kdclient.cli.options import connect, read_object
from kdclient.cli.running import submit

Network = Annotated[
    str | None,
    typer.Option(
        "--network",
        help='The network as JSON, such as {"architecture": "mlp", "hidden": [64]}, or @FILE.',
    ),
]


def train(
    spec_file: job_options.SpecFile = None,
    *,
    dataset: job_options.Dataset = None,
    transfer_dataset: job_options.TransferDataset = None,
    network: Network = None,
    name: job_options.Name = None,
    epochs: job_options.Epochs = None,
    batch_size: job_options.BatchSize = None,
    optimizer: job_options.Optimizer = None,
    learning_rate: job_options.LearningRate = None,
    seed: job_options.Seed = None,
    augmentation: job_options.Augmentation = None,
    tag: job_options.TagList = None,
    dry_run: job_options.DryRun = False,
    detach: job_options.Detach = False,
    url: options.Url = None,
    api_key: options.ApiKey = None,
) -> None:
    """Train one network on labels, such as a future teacher.

    Give a job as a JSON file, or its fields by option. Shows progress until the job has ended;
    Ctrl-C only stops the showing.
    """
    fields = CommonFields(
        dataset=dataset,
        transfer_dataset=transfer_dataset,
        name=name,
        epochs=epochs,
        batch_size=batch_size,
        optimizer=optimizer,
        learning_rate=learning_rate,
        seed=seed,
        augmentation=augmentation,
        tags=tag or (),
    )
    spec = spec_from(spec_file, "train", fields)
    merge(spec, {"network": read_object(network, option="--network") if network else None})
    with connect(url, api_key) as client:
        submit(client, spec, dry_run=dry_run, detach=detach)
