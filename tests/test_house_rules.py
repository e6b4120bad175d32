"""Rules of the house that no linter knows, held for every Python file of the project."""

import ast
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_FOLDERS = (
    *("api", "worker", "kdcore", "kdstore", "kdclient", "migrations", "deploy", "examples"),
    *("recipes", "benchmarks", "tests"),
)
_MAX_FILE_LINES = 400
_MAX_FUNCTION_LINES = 80
_NAMES_THAT_SAY_NOTHING = {"utils", "helpers", "common", "misc", "manager", "managers"}


def _files() -> list[Path]:
    found = [path for folder in _FOLDERS for path in sorted((_ROOT / folder).rglob("*.py"))]
    assert len(found) > 500, "the folders have moved"
    return found


def _functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    long = {
        str(path.relative_to(_ROOT)): num_lines
        for path in _files()
        if (num_lines := len(path.read_text().splitlines())) > _MAX_FILE_LINES
    }
    assert not long, "split these by what they are about"


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{path.relative_to(_ROOT)}: {name}, {num_lines} lines"
        for path in _files()
        for name, num_lines in _functions(path)
        if num_lines > _MAX_FUNCTION_LINES
    ]
    assert not long


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert not [path for path in _files() if path.stem in _NAMES_THAT_SAY_NOTHING]


def test_every_file_begins_by_saying_what_it_is() -> None:
    silent = [
        str(path.relative_to(_ROOT))
        for path in _files()
        if path.read_text().strip() and ast.get_docstring(ast.parse(path.read_text())) is None
    ]
    assert not silent
