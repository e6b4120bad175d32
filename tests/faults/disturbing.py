"""One cell of the matrix: a job, a phase, a fault, and the proof that nothing came of it."""

from collections.abc import Callable
from itertools import pairwise

from kdstore.metrics import Series
from tests.faults.phases import Phase
from tests.faults.programs import ancestors, children_below
from tests.faults.site import Site, Trained, Worker
from tests.faults.strikes import Strike
from tests.faults.waiting import wait_until

Record = Callable[[str, str, str], None]


def disturb(
    site: Site,
    worker: Worker,
    *,
    phase_type: type[Phase],
    strike_type: type[Strike],
    undisturbed: Trained,
) -> str:
    """Run a job, hit it in a phase, and check all that must hold; how it went, in words."""
    phase, strike = phase_type(site, worker), strike_type(site, worker)
    job_id = phase.enter()
    strike.hit(job_id)
    phase.leave()
    strike.mend(job_id)
    status = site.wait_until_settled(job_id)
    if phase.name == "pause" and status == "paused":
        site.ask(job_id, "resume")
        status = site.wait_until_settled(job_id)
    assert status == phase.ends
    causes = tuple(str(cause) for cause in site.book.exit_causes(job_id))
    assert causes in strike.causes(phase)
    if status == "succeeded":
        check_equal(site, job_id, undisturbed)
    else:
        assert site.book.artifacts(job_id) == []
    check_no_orphans(site)
    return f"{status} ({', '.join(causes)})"


def check_equal(site: Site, job_id: str, undisturbed: Trained) -> None:
    """Check that a job made the very bytes of an undisturbed one, and its curves have no gap."""
    trained = site.trained(job_id)
    assert trained.sha256 == undisturbed.sha256
    assert trained.series == undisturbed.series
    for series in trained.series:
        check_steps(series)


def check_steps(series: Series) -> None:
    """Check that no step is twice, and none is missing between two."""
    steps = series.steps
    assert all(first < second for first, second in pairwise(steps))


def check_no_orphans(site: Site) -> None:
    """Check that every process which trains or reads is a child of a worker that lives."""
    workers = {worker.pid for worker in site.workers}

    def are_all_owned() -> bool:
        return all(ancestors(child) & workers for child in children_below(site.folder))

    wait_until(are_all_owned, "no process is orphaned")
