"""Options that several commands share, and what is made of them."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from kdclient.client import Potstill
from kdclient.settings import Given, find_connection

Url = Annotated[
    str | None,
    typer.Option("--url", help="Address of the service. [env: POTSTILL_URL]", show_default=False),
]
ApiKey = Annotated[
    str | None,
    typer.Option("--api-key", help="Key for it. [env: POTSTILL_API_KEY]", show_default=False),
]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id, such as job_….")]


def connect(url: str | None, api_key: str | None) -> Potstill:
    """Make a client from flags, environment, or what `up` wrote. Raises SettingsMissing."""
    connection = find_connection(Given(url=url, api_key=api_key), environment=os.environ)
    return Potstill(connection.url, connection.api_key)


def read_object(text: str, *, option: str) -> dict[str, Any]:
    """Read a JSON object from an option, or from the file it names with a leading @.

    Raises:
        typer.BadParameter: it is not one.
    """
    if text.startswith("@"):
        return read_object_file(Path(text[1:]), option=option)
    try:
        value = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"not JSON: {error}", param_hint=option) from None
    if not isinstance(value, dict):
        raise typer.BadParameter("give a JSON object: {…}", param_hint=option)
    return value


def read_text_file(path: Path, *, option: str) -> str:
    """Read a file of text. Raises typer.BadParameter."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise typer.BadParameter(f"cannot read {path}", param_hint=option) from None


def read_object_file(path: Path, *, option: str) -> dict[str, Any]:
    """Read a file that holds a JSON object. Raises typer.BadParameter."""
    text = read_text_file(path, option=option)
    try:
        value = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"{path} is not JSON: {error}", param_hint=option) from None
    if not isinstance(value, dict):
        raise typer.BadParameter(f"{path} holds no JSON object: {{…}}", param_hint=option)
    return value
