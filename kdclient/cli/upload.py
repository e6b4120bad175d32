"""`potstill upload`: a teacher's checkpoint or a dataset, from a file to something usable."""

from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from kdclient.cli import options
from kdclient.cli.bytes_bar import bytes_bar
from kdclient.cli.options import connect, read_object, read_object_file, read_text_file
from kdclient.client import Potstill
from kdclient.resources import DatasetFormat, Upload, UploadPurpose

_FORMATS: dict[str, DatasetFormat] = {".zip": "image_folder_zip", ".npz": "npz"}

File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="The file.")]
Name = Annotated[str | None, typer.Option("--name", help="A name; the file's if left out.")]
Architecture = Annotated[
    str | None,
    typer.Option(
        "--architecture",
        help='Of a checkpoint, as JSON: {"architecture": "mlp", "hidden": [64]}, or @FILE.',
    ),
]
Input = Annotated[
    str | None,
    typer.Option(
        "--input", help='Of a checkpoint: {"channels": 1, "height": 8, "width": 8}, or @FILE.'
    ),
]
Description = Annotated[
    Path | None,
    typer.Option(
        "--description",
        help="Of a checkpoint that Potstill made: its student.json or network.json.",
    ),
]
ClassNames = Annotated[
    str | None,
    typer.Option(
        "--class-names",
        help="What each output or label means, in order: zero,one,two; or @FILE, a name a line.",
    ),
]
Format = Annotated[
    str | None,
    typer.Option("--format", help=f"Of a dataset: {', '.join(get_args(DatasetFormat))}."),
]


def upload(
    path: File,
    *,
    name: Name = None,
    architecture: Architecture = None,
    image_input: Input = None,
    description: Description = None,
    class_names: ClassNames = None,
    dataset_format: Format = None,
    url: options.Url = None,
    api_key: options.ApiKey = None,
) -> None:
    """Upload a teacher's checkpoint or a dataset, wait until it is checked, print its id.

    A checkpoint needs --architecture (and --input), or --description. An upload that was
    interrupted goes on where it stopped: give the same command again.
    """
    names = _class_names(class_names)
    network = _network(architecture, image_input, description)
    if network and dataset_format:
        raise typer.BadParameter("--format is for datasets; leave it out", param_hint="--format")
    with connect(url, api_key) as client:
        if network:
            stored = _send(client, path, "checkpoint")
            if names:
                network["class_names"] = names
            model = client.create_model(name or path.name, upload_id=stored.id, **network)
            print(client.wait_until_ready(model).id)
        else:
            chosen = _format(path, dataset_format)
            stored = _send(client, path, "dataset")
            dataset = client.create_dataset(
                name or path.name, upload_id=stored.id, format=chosen, class_names=names
            )
            print(client.wait_until_ready(dataset).id)


def _network(
    architecture: str | None, image_input: str | None, description: Path | None
) -> dict[str, Any]:
    """What is known of a checkpoint's network, as `create_model` takes it; empty for a dataset."""
    network: dict[str, Any] = {}
    if description is not None:
        found = read_object_file(description, option="--description")
        if "architecture" not in found:
            raise typer.BadParameter(
                f"{description} has no `architecture`", param_hint="--description"
            )
        network = {
            "architecture": found["architecture"],
            "image_input": found.get("input"),
            "class_names": found.get("class_names", ()),
        }
    if architecture is not None:
        network["architecture"] = read_object(architecture, option="--architecture")
    if image_input is not None:
        network["image_input"] = read_object(image_input, option="--input")
    if network and "architecture" not in network:
        raise typer.BadParameter("--input needs --architecture", param_hint="--input")
    return network


def _class_names(given: str | None) -> tuple[str, ...]:
    """Read names from the option, or from the file it names with a leading @."""
    if given is None:
        return ()
    names = (
        read_text_file(Path(given[1:]), option="--class-names").splitlines()
        if given.startswith("@")
        else given.split(",")
    )
    return tuple(name.strip() for name in names if name.strip())


def _format(path: Path, given: str | None) -> DatasetFormat:
    for known in get_args(DatasetFormat):
        if given == known:
            return known  # type: ignore[no-any-return]  # get_args is untyped
    if given is not None:
        choices = ", ".join(get_args(DatasetFormat))
        raise typer.BadParameter(f"{given!r} is none of {choices}", param_hint="--format")
    if path.suffix.lower() in _FORMATS:
        return _FORMATS[path.suffix.lower()]
    raise typer.BadParameter(
        f"say what {path.name} is: --architecture or --description for a teacher's checkpoint, "
        "--format for a dataset",
        param_hint="PATH",
    )


def _send(client: Potstill, path: Path, purpose: UploadPurpose) -> Upload:
    with bytes_bar("uploading", path.stat().st_size) as on_bytes:
        return client.upload(path, purpose, on_bytes=on_bytes)
