"""A dry run tells when no worker that is up could run the job."""

from typing import Any

from kdstore import workers
from kdstore.capacity import Capacity
from kdstore.db import SessionFactory, transaction

Client = Any  # these are classes of conftest.py, which tests cannot import
Rows = Any


def warnings(client: Client, rows: Rows, **changes: Any) -> list[str]:
    job = {
        "kind": "train",
        "dataset": rows.ready_dataset(),
        "network": {"architecture": "mlp", "hidden": [8]},
    }
    found: list[str] = client.post("/v1/jobs/validate", json=job | changes).json()["warnings"]
    return [warning for warning in found if "worker" in warning]


def test_no_worker_at_all_is_told(client: Client, rows: Rows) -> None:
    assert warnings(client, rows) == ["No worker is up; the job waits until one is."]


def test_worker_that_fits_is_no_warning_and_one_that_does_not_is_described(
    client: Client, rows: Rows, session_factory: SessionFactory
) -> None:
    with transaction(session_factory) as session:
        has = Capacity("cpu", max_processes=2, memory_bytes=1000)
        workers.seen(session, name="worker-1", device="cpu", capacity=has)
    assert warnings(client, rows) == []
    (warning,) = warnings(client, rows, resources={"device": "gpu"})
    assert warning == (
        "No worker that is up has what resources asks for; the job waits for one. Up: cpu for up "
        "to 2 processes, 1,000 bytes."
    )
