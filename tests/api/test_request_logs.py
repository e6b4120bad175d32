"""One id leads through all of a request's life: its lines, the job it made, and the attempts."""

from collections.abc import Iterator
from typing import Any

import pytest

from kdstore import jobs
from kdstore.db import SessionFactory, transaction
from tests.api.log_lines import keeping_lines

Client = Any  # classes of conftest.py, which tests cannot import
Rows = Any

SPEC = {
    "kind": "train",
    "dataset": "digits",
    "network": {"architecture": "mlp", "hidden": [8]},
}


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    with keeping_lines() as kept:
        yield kept


def test_request_that_makes_a_job_is_found_by_its_id_in_log_event_and_claim(
    client: Client, rows: Rows, lines: list[dict[str, Any]], session_factory: SessionFactory
) -> None:
    spec = SPEC | {"dataset": rows.ready_dataset()}
    answer = client.post("/v1/jobs", json=spec, headers={"X-Request-Id": "trace-7"})
    assert answer.status_code == 201
    job_id = answer.json()["id"]
    of_request = [line for line in lines if line.get("request_id") == "trace-7"]
    assert [line["message"] for line in of_request] == ["published", "request"]
    assert of_request[0]["subject_id"] == job_id
    [event] = client.get(f"/v1/jobs/{job_id}/events").json()["items"]
    assert event["data"]["request_id"] == "trace-7"
    with transaction(session_factory) as session:
        claim = jobs.claim(session, job_id, worker="w", device="cpu", lease_seconds=60)
    assert claim is not None
    assert claim.request_id == "trace-7"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_lines_of_requests_beside_each_other_keep_their_own_ids(
    client: Client, lines: list[dict[str, Any]]
) -> None:
    ids = [client.get("/v1/jobs").headers["X-Request-Id"] for _ in range(3)]
    assert [line["request_id"] for line in lines if line["message"] == "request"] == ids
