"""The `potstill` command: every command is listed here, each lives in a file of its own."""

import sys
from collections.abc import Sequence

import typer

from kdclient.cli.cancel import cancel
from kdclient.cli.datasets import datasets
from kdclient.cli.distill import distill
from kdclient.cli.doctor import doctor
from kdclient.cli.download import download
from kdclient.cli.evaluate import evaluate
from kdclient.cli.jobs import jobs
from kdclient.cli.methods import methods
from kdclient.cli.models import models
from kdclient.cli.report import report
from kdclient.cli.retry import retry
from kdclient.cli.train import train
from kdclient.cli.up import up
from kdclient.cli.upload import upload
from kdclient.cli.watch import watch
from kdclient.errors import ApiProblem, PotstillError

_COMMANDS = (
    up,
    doctor,
    upload,
    train,
    distill,
    evaluate,
    jobs,
    watch,
    report,
    download,
    cancel,
    retry,
    models,
    datasets,
    methods,
)


def build_app() -> typer.Typer:
    """Make the command line."""
    app = typer.Typer(
        name="potstill",
        help="Knowledge distillation as a service: start it, send it a teacher, get a student.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for command in _COMMANDS:
        app.command()(command)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; exits with 0, 1 (it failed, and why is on stderr) or 2 (wrong usage)."""
    try:
        build_app()(args=arguments)
    except PotstillError as error:
        print(f"potstill: {_told(error)}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        # Of files that a person named; everything about the network is a PotstillError.
        print(f"potstill: {error.strerror}: {error.filename}", file=sys.stderr)
        sys.exit(1)


def _told(error: PotstillError) -> str:
    """The message; of wrong fields, the fields alone, which say everything."""
    if isinstance(error, ApiProblem) and error.code == "validation_failed" and error.errors:
        return "\n".join(str(problem) for problem in error.errors)
    return error.message
