"""Every fault that a job must outlive, at every phase of its life: the same bytes come out."""

import pytest

from tests.faults.disturbing import Record, disturb
from tests.faults.phases import PHASES, Phase
from tests.faults.site import Site, Trained, Worker
from tests.faults.strikes import STRIKES, Strike

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("phase_type", PHASES, ids=lambda phase: phase.name)
@pytest.mark.parametrize("strike_type", STRIKES, ids=lambda strike: strike.name)
def test_job_ends_as_if_nothing_had_happened(
    site: Site,
    worker: Worker,
    undisturbed: Trained,
    record: Record,
    strike_type: type[Strike],
    phase_type: type[Phase],
) -> None:
    record(strike_type.name, phase_type.name, "")
    outcome = disturb(
        site, worker, phase_type=phase_type, strike_type=strike_type, undisturbed=undisturbed
    )
    record(strike_type.name, phase_type.name, outcome)
