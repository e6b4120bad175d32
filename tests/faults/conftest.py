"""An installation for the whole test process, and the table at the end."""

import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.faults.disturbing import Record
from tests.faults.matrix_table import PROPERTY, Row, as_markdown, as_text
from tests.faults.site import Site, Trained, Worker


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the table be kept."""
    parser.addoption("--faults-page", metavar="FILE", help="write the table of faults as Markdown")


@pytest.fixture(scope="session")
def site_of_process() -> Iterator[Site]:
    """Servers and an API, in a folder that other users can reach."""
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    folder.chmod(0o755)
    try:
        with Site(folder) as site:
            site.start_worker()
            yield site
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def undisturbed(site_of_process: Site) -> Trained:
    """What the job makes when nothing happens to it."""
    job_id = site_of_process.submit()
    assert site_of_process.wait_until_settled(job_id) == "succeeded"
    return site_of_process.trained(job_id)


@pytest.fixture
def site(site_of_process: Site, undisturbed: Trained) -> Iterator[Site]:
    """An installation in good order, with nothing to do."""
    yield site_of_process
    site_of_process.put_in_order()


@pytest.fixture
def worker(site: Site) -> Worker:
    """The one worker of the installation."""
    for extra in site.workers[:-1]:
        site.remove_worker(extra)
    if not site.workers or not site.workers[0].is_running:
        site.end_workers()
        return site.start_worker()
    return site.workers[0]


@pytest.fixture
def record(record_property: Callable[[str, object], None]) -> Record:
    """Call it with fault, phase and outcome for a row of the table."""

    def record_row(fault: str, phase: str, outcome: str) -> None:
        record_property(PROPERTY, f"{fault}\t{phase}\t{outcome}")

    return record_row


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the table of what went wrong and what came of it."""
    if hasattr(config, "workerinput"):
        return  # the process that distributes the tests has all rows
    rows = [
        row
        for kind in ("passed", "failed")
        for report in terminalreporter.stats.get(kind, [])
        for row in _rows(report)
    ]
    if not rows:
        return
    rows.sort(key=lambda row: row.fault)
    terminalreporter.section("faults")
    for line in as_text(rows):
        terminalreporter.write_line(line)
    page = config.getoption("faults_page")
    if page is not None:
        Path(page).write_text(as_markdown(rows, heading=_heading()), encoding="utf-8")


def _rows(report: pytest.TestReport) -> list[Row]:
    """Read what a test has recorded last."""
    recorded = [value for name, value in report.user_properties if name == PROPERTY]
    if report.when != "call" or not recorded:
        return []
    fault, phase, outcome = str(recorded[-1]).split("\t")
    return [Row(fault, phase, outcome if report.passed else "FAILED", report.duration)]


def _heading() -> str:
    day = datetime.now(UTC).date().isoformat()
    return f"Faults, {day}, {platform.machine()} with {os.cpu_count()} cores"
