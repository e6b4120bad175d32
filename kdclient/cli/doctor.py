"""`potstill doctor`: try every connection of the service that is installed here."""

import importlib.util
import os
import subprocess
import sys
from typing import Annotated

import typer

from kdclient.cli.up import DataDir
from kdclient.errors import ServiceFailure
from kdclient.settings import data_dir_from, read_connection

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Quick = Annotated[bool, typer.Option("--quick", help="Leave out torch, which takes seconds.")]
Address = Annotated[
    str | None,
    typer.Option("--url", help="Where the API is. [env: POTSTILL_URL]", show_default=False),
]


def doctor(
    data_dir: DataDir = None, url: Address = None, *, json: Json = False, quick: Quick = False
) -> None:
    """Try settings, database, broker, storage, disk, API, workers and torch; say what to do."""
    # Not imported: it sees database and broker, of which a client knows nothing.
    if importlib.util.find_spec("doctor") is None:
        raise ServiceFailure("Only the client is installed here. Run it where API or worker are.")
    folder = data_dir or data_dir_from(os.environ)
    saved = read_connection(folder)
    known = url or os.environ.get("POTSTILL_URL") or (saved.url if saved else "")
    command = [sys.executable, "-P", "-m", "doctor", f"--url={known}"]
    command += [option for option, given in (("--json", json), ("--quick", quick)) if given]
    tried = subprocess.run(
        command,
        env={**os.environ, "POTSTILL_DATA_DIR": str(folder)},
        check=False,
    )
    sys.exit(tried.returncode)
