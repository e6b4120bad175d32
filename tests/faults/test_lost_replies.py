"""A commit whose answer never comes is done or repeated, and neither shows."""

import pytest

from tests.faults.disturbing import Record, check_equal, check_no_orphans
from tests.faults.site import Site, Trained, Worker
from tests.faults.waiting import wait_until

pytestmark = pytest.mark.faults

_FINISHED = ("finished",)
_LOST = ("lost", "finished")


@pytest.mark.parametrize(
    ("what", "pattern", "allowed"),
    [
        # The worker takes its own claim for another's; the lease runs out.
        ("claim", rb"INSERT INTO attempts", {_LOST}),
        ("metrics", rb"INSERT INTO metric_points", {_FINISHED}),
        ("log", rb"INSERT INTO log_lines", {_FINISHED}),
        ("checkpoint write", rb"INSERT INTO checkpoints", {_FINISHED}),
        ("commit", rb"INSERT INTO artifacts", {_FINISHED}),
    ],
    ids=["claim", "metrics", "log", "checkpoint", "end"],
)
def test_commit_whose_answer_is_lost_changes_nothing(
    site: Site,
    worker: Worker,
    undisturbed: Trained,
    record: Record,
    what: str,
    pattern: bytes,
    allowed: set[tuple[str, ...]],
) -> None:
    record("answer to COMMIT lost", what, "")
    trap = worker.database.trap(pattern, then_lost=True)
    job_id = site.submit()
    wait_until(trap.sprung.is_set, "an answer to COMMIT was lost")
    trap.release()
    assert site.wait_until_settled(job_id) == "succeeded"
    causes = tuple(str(cause) for cause in site.book.exit_causes(job_id))
    assert causes in allowed
    check_equal(site, job_id, undisturbed)
    assert len(site.book.artifacts(job_id)) == len(set(site.book.artifacts(job_id)))
    lines = site.book.log(job_id)
    assert len(lines) == len(set(lines)), lines
    check_no_orphans(site)
    record("answer to COMMIT lost", what, f"succeeded ({', '.join(causes)})")
