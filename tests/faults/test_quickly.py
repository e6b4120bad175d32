"""A few cells of the matrix that `make test` runs too."""

import pytest

from tests.faults.disturbing import Record, disturb
from tests.faults.phases import CheckpointWrite, Commit, MidStep, Phase
from tests.faults.site import Site, Trained, Worker
from tests.faults.strikes import KillTrainer, KillWorker, RestartPostgres, Strike

# One installation for all of them, beside no other of its size.
pytestmark = pytest.mark.xdist_group("s3")


@pytest.mark.parametrize(
    ("strike_type", "phase_type"),
    [(KillTrainer, MidStep), (RestartPostgres, Commit), (KillWorker, CheckpointWrite)],
    ids=["trainer killed", "database restarted", "worker killed"],
)
def test_job_ends_as_if_nothing_had_happened(
    site: Site,
    worker: Worker,
    undisturbed: Trained,
    record: Record,
    strike_type: type[Strike],
    phase_type: type[Phase],
) -> None:
    outcome = disturb(
        site, worker, phase_type=phase_type, strike_type=strike_type, undisturbed=undisturbed
    )
    record(strike_type.name, phase_type.name, outcome)
