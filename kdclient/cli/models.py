"""`potstill models`: the teachers that can be learned from."""

from kdclient.cli import options
from kdclient.cli.options import connect
from kdclient.cli.tables import print_table
from kdclient.resources import Model


def models(url: options.Url = None, api_key: options.ApiKey = None) -> None:
    """List models, newest first."""
    with connect(url, api_key) as client:
        rows = [_row(model) for model in client.models()]
    print_table(("id", "status", "architecture", "parameters", "name"), rows)


def _row(model: Model) -> tuple[str, ...]:
    architecture = str((model.architecture or {}).get("architecture", "–"))
    parameters = "–" if model.parameters is None else f"{model.parameters:,}"
    return model.id, model.status, architecture, parameters, model.name
