"""The options that `train` and `distill` share, and the spec that they make."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from kdclient.cli.options import read_object, read_object_file

SpecFile = Annotated[
    Path | None,
    typer.Argument(metavar="[SPEC]", help="A job as a JSON file; options change its fields."),
]
Dataset = Annotated[
    str | None, typer.Option("--dataset", help="Id of a dataset, or a built-in such as digits.")
]
TransferDataset = Annotated[
    str | None,
    typer.Option("--transfer-dataset", help="Dataset to learn from, if not --dataset itself."),
]
Name = Annotated[str | None, typer.Option("--name", help="A name for people.")]
Epochs = Annotated[int | None, typer.Option("--epochs", help="Passes over the data.")]
BatchSize = Annotated[int | None, typer.Option("--batch-size", help="Images a step.")]
Optimizer = Annotated[str | None, typer.Option("--optimizer", help="sgd, adam or adamw.")]
LearningRate = Annotated[float | None, typer.Option("--learning-rate", help="Largest rate.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Of weights, order and augmentation.")]
Augmentation = Annotated[
    str | None,
    typer.Option("--augmentation", help='JSON, such as {"name": "jitter", "pixels": 1}.'),
]
TagList = Annotated[
    list[str] | None, typer.Option("--tag", help="key=value; may be given several times.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what the job would be and cost; create nothing.")
]
Detach = Annotated[
    bool, typer.Option("--detach", help="Print the job's id and do not wait for its end.")
]


@dataclass(frozen=True)
class CommonFields:
    """What was given by option; None where nothing."""

    dataset: str | None
    transfer_dataset: str | None
    name: str | None
    epochs: int | None
    batch_size: int | None
    optimizer: str | None
    learning_rate: float | None
    seed: int | None
    augmentation: str | None
    tags: Sequence[str]


def spec_from(file: Path | None, kind: str, fields: CommonFields) -> dict[str, Any]:
    """Make a spec: the file's, changed by the options. The service checks it.

    Raises:
        typer.BadParameter: the file or an option cannot be read.
    """
    spec = read_object_file(file, option="SPEC") if file else {}
    if spec.setdefault("kind", kind) != kind:
        raise typer.BadParameter(
            f"{file} is a job of kind {spec['kind']!r}; use `potstill {spec['kind']}`",
            param_hint="SPEC",
        )
    merge(spec, {"dataset": fields.dataset, "name": fields.name})
    training = section(spec, "training")
    merge(
        training,
        {"num_epochs": fields.epochs, "batch_size": fields.batch_size, "seed": fields.seed},
    )
    if fields.optimizer is not None or fields.learning_rate is not None:
        optimizer = section(training, "optimizer")
        if fields.optimizer is not None and optimizer.get("name") != fields.optimizer:
            optimizer.clear()  # another optimizer's fields mean nothing for this one
        merge(optimizer, {"name": fields.optimizer, "learning_rate": fields.learning_rate})
        optimizer.setdefault("name", "adam")
    if not training:
        del spec["training"]
    if fields.transfer_dataset is not None:
        section(spec, "transfer")["dataset"] = fields.transfer_dataset
    if fields.augmentation is not None:
        section(spec, "transfer")["augmentation"] = read_object(
            fields.augmentation, option="--augmentation"
        )
    if fields.tags:
        section(spec, "tags").update(tags_of(fields.tags))
    return spec


def tags_of(given: Sequence[str]) -> dict[str, str]:
    """Read tags. Raises typer.BadParameter."""
    return dict(_tag(text) for text in given)


def merge(target: dict[str, Any], given: dict[str, Any]) -> None:
    """Set the fields that were given."""
    target.update({key: value for key, value in given.items() if value is not None})


def section(spec: dict[str, Any], key: str) -> dict[str, Any]:
    """The object at `key`, made if it is not there. Raises typer.BadParameter."""
    value = spec.setdefault(key, {})
    if not isinstance(value, dict):
        raise typer.BadParameter(f"{key!r} must be an object: {{…}}", param_hint="SPEC")
    return value


def _tag(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not key or not separator:
        raise typer.BadParameter(f"{text!r} is not key=value", param_hint="--tag")
    return key, value
