"""`potstill up`: the whole service on this machine, until Ctrl-C."""

import os
import shlex
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from kdclient.services import Services
from kdclient.settings import Connection, data_dir_from

Host = Annotated[str, typer.Option("--host", help="Address to listen on.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65_535, help="0 takes a free one.")]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        file_okay=False,
        help="Where everything is kept. [env: POTSTILL_DATA_DIR; default: potstill-data]",
        show_default=False,
    ),
]


def up(host: Host = "127.0.0.1", port: Port = 8000, data_dir: DataDir = None) -> None:
    """Start API and worker on this machine, and keep them running until Ctrl-C."""
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGHUP, _end)
    folder = data_dir or data_dir_from(os.environ)
    with Services(folder, host=host, port=port, environment=os.environ) as services:
        try:
            print("Starting Potstill …", file=sys.stderr, flush=True)
            connection = services.start()
            _greet(connection, services)
            services.wait()
        except KeyboardInterrupt:
            print("\nStopping; Ctrl-C again to stop at once.", file=sys.stderr, flush=True)


def _greet(connection: Connection, services: Services) -> None:
    header = f"Authorization: Bearer {connection.api_key}"
    lines = [
        f"Potstill runs at  {connection.url}",
        f"API key           {connection.api_key}",
        "",
        "Try it:",
        f"  curl -H '{header}' {connection.url}/v1/datasets",
        "",
        "Other terminals in this folder know address and key:",
        f"  {_prefix(services)}potstill jobs",
        "",
        f"Data and logs are in {services.data_dir}. Ctrl-C stops it.",
    ]
    print("\n".join(lines), flush=True)


def _prefix(services: Services) -> str:
    """What other commands need to find a data folder that is not where they look."""
    is_found = data_dir_from(os.environ).absolute() == services.data_dir
    return "" if is_found else f"POTSTILL_DATA_DIR={shlex.quote(str(services.data_dir))} "


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    """Leave by an exception, so that the services are stopped on the way out."""
    sys.exit(128 + number)
