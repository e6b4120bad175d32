"""Progress on a terminal is a bar; elsewhere lines, and not too many of them."""

import io

import pytest
from rich.console import Console

from kdclient.cli.job_display import JobDisplay, describe, facts
from kdclient.resources import Job, JobProgress
from tests.kdclient.job_documents import job_document, progress_document


def job_at(fraction: float | None, status: str = "running", **fields: object) -> Job:
    progress = None if fraction is None else progress_document(fraction)
    return Job.model_validate(job_document(status, progress=progress, **fields))


def shown(*jobs: Job, is_terminal: bool) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=is_terminal, width=120, _environ={"TERM": "xterm"})
    with JobDisplay(console) as display:
        for job in jobs:
            display.show(job)
    return file.getvalue()


def test_bar_shows_loss_speed_and_time_left() -> None:
    text = shown(job_at(0.5), is_terminal=True)
    for part in ("training network", "50%", "loss 0.5000", "1,000 images/s", "ETA 1:05"):
        assert part in text


def test_bar_is_full_when_the_job_has_succeeded() -> None:
    assert "100%" in shown(job_at(0.9), job_at(0.9, "succeeded"), is_terminal=True)


def test_log_has_a_line_for_each_stage_and_tenth() -> None:
    jobs = [job_at(None, "queued"), *(job_at(step / 100) for step in range(100))]
    lines = shown(*jobs, is_terminal=False).splitlines()
    assert lines[0] == "queued"
    assert len(lines) == 11


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (job_at(None, "paused"), "paused"),
        (job_at(0.5), "training network"),
        (job_at(0.5, stage="evaluating"), "evaluating"),
        (job_at(None, stage="training"), "training"),
        (job_at(None, stage=None), "running"),
    ],
)
def test_job_is_described_by_what_it_does(job: Job, words: str) -> None:
    assert describe(job) == words


def test_stage_of_a_method_with_several_is_named() -> None:
    job = job_at(0.5)
    assert job.progress is not None
    in_hint = job.progress.model_copy(update={"training_stage": "hint"})
    assert describe(job.model_copy(update={"progress": in_hint})) == "training network, hint"
    main = job.progress.model_copy(update={"training_stage": "training"})
    assert describe(job.model_copy(update={"progress": main})) == "training network"


def test_long_times_have_hours() -> None:
    progress = JobProgress.model_validate(progress_document(0.5) | {"eta_seconds": 3 * 3600 + 62})
    assert facts(progress).endswith("ETA 3:01:02")
