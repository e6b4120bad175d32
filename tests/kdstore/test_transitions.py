"""One table says which status may follow which, and one function changes a job's status."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from kdstore.transitions import ALLOWED, OWNED, TERMINAL, JobStatus, may_become

ROOT = Path(__file__).parents[2]
# Where a status is written: of jobs, of uploads, of models and datasets.
WRITERS = {
    "kdstore/jobs/status.py",
    "kdstore/jobs/requests.py",  # makes the row as queued
    "kdstore/uploads.py",
    "kdstore/validation.py",
    "kdstore/models.py",  # makes the row as validating
    "kdstore/datasets.py",  # makes the row as validating
}
WRITING_CALLS = {"values", "Job", "Model", "Dataset", "Upload"}


def test_every_status_is_in_the_table() -> None:
    assert set(ALLOWED) == set(get_args(JobStatus))


def test_succeeded_is_final_and_other_ends_can_only_be_retried() -> None:
    assert {status: ALLOWED[status] for status in TERMINAL} == {
        "succeeded": frozenset(),
        "failed": frozenset({"queued"}),
        "cancelled": frozenset({"queued"}),
    }


def test_cancelling_can_only_end_as_cancelled() -> None:
    assert ALLOWED["cancelling"] == frozenset({"cancelled"})


def test_only_a_queued_job_starts_to_run() -> None:
    assert [status for status in ALLOWED if may_become(status, "running")] == ["queued"]


def test_every_owned_status_leads_to_an_end() -> None:
    for status in OWNED:
        seen: set[JobStatus] = set()
        waiting: list[JobStatus] = [status]
        while waiting:
            here = waiting.pop()
            seen.add(here)
            waiting += [target for target in ALLOWED[here] if target not in seen]
        assert seen & TERMINAL, status


def _status_writes(path: Path) -> Iterator[int]:
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Assign(targets=targets) if any(_is_rows_status(target) for target in targets):
                yield node.lineno
            case ast.AnnAssign(target=target) | ast.AugAssign(target=target):
                if _is_rows_status(target):
                    yield node.lineno
            case ast.Call(func=function, keywords=keywords) if _name(function) in WRITING_CALLS:
                if any(keyword.arg == "status" for keyword in keywords):
                    yield node.lineno


def _is_rows_status(target: ast.expr) -> bool:
    """Tell `row.status`, but not `self.status`: an error that keeps a status writes no row."""
    return (
        isinstance(target, ast.Attribute)
        and target.attr == "status"
        and _name(target.value) != "self"
    )


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


@pytest.mark.parametrize("package", ["api", "worker", "kdstore", "migrations"])
def test_status_is_written_nowhere_else(package: str) -> None:
    written = {
        f"{path.relative_to(ROOT)}:{line}"
        for path in (ROOT / package).rglob("*.py")
        if str(path.relative_to(ROOT)) not in WRITERS
        for line in _status_writes(path)
    }
    assert written == set()


def test_the_search_finds_what_it_is_to_find(tmp_path: Path) -> None:
    source = tmp_path / "source.py"
    source.write_text(
        'job.status = "failed"\n'
        'update(Job).values(status="failed")\n'
        'Job(id="x", status="queued")\n'
        'job.status: str = "failed"\n'
        "print(job.status)\n"
        "self.status = status\n"
        'page(status="queued")\n'
    )
    assert sorted(_status_writes(source)) == [1, 2, 3, 4]
