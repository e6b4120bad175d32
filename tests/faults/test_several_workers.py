"""Workers side by side: each job is run by one of them, and another may join at any time."""

import pytest

from kdstore import jobs
from kdstore.db import reading
from tests.faults.disturbing import check_equal, check_no_orphans
from tests.faults.phases import MidStep
from tests.faults.site import Site, Trained, Worker

# One installation for all of them, beside no other of its size.
pytestmark = pytest.mark.xdist_group("s3")


def _workers_of(site: Site, job_ids: list[str]) -> list[str]:
    """Name the workers of all attempts, one attempt after the other."""
    book = site.book
    with reading(book.session_factory) as session:
        found = jobs.attempts_of(session, workspace_id=book.workspace_id, job_ids=job_ids)
    return [attempt.worker for job_id in job_ids for attempt in found[job_id]]


def test_two_workers_train_side_by_side_and_a_third_joins_them(
    site: Site, worker: Worker, undisturbed: Trained
) -> None:
    first = MidStep(site, worker)
    job_ids = [first.enter()]
    second = MidStep(site, site.start_worker())
    job_ids.append(second.enter())
    assert [site.status(job_id) for job_id in job_ids] == ["running", "running"]

    site.start_worker()
    job_ids.append(site.submit())
    assert site.wait_until_settled(job_ids[-1]) == "succeeded"
    assert [site.status(job_id) for job_id in job_ids[:2]] == ["running", "running"]

    first.leave()
    second.leave()
    for job_id in job_ids:
        assert site.wait_until_settled(job_id) == "succeeded"
        assert site.book.exit_causes(job_id) == ["finished"]
        check_equal(site, job_id, undisturbed)
    assert len(set(_workers_of(site, job_ids))) == 3
    check_no_orphans(site)
