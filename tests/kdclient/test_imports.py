"""What the package offers, and what importing it costs."""

import inspect
import subprocess
import sys

import kdclient
from kdclient import errors


def test_client_and_command_line_load_neither_torch_nor_the_service() -> None:
    program = (
        "import sys, kdclient, kdclient.cli\n"
        "unwanted = {'torch', 'numpy', 'sqlalchemy', 'fastapi', 'api', 'worker', 'kdstore'}\n"
        "print(sorted(unwanted & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_what_is_imported_is_what_is_listed() -> None:
    public = {
        name
        for name, value in vars(kdclient).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert public == set(kdclient.__all__)


def test_error_tree_is_drawn_as_it_is() -> None:
    drawn = [line for line in (errors.__doc__ or "").splitlines() if "─" in line]
    drawn_names = {line.split("─ ")[1].split()[0] for line in drawn} | {"PotstillError"}
    defined = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.PotstillError)
    }
    assert drawn_names == defined
