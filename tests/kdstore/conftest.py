"""Fixtures of the kdstore tests: a workspace, and jobs in any status."""

from collections.abc import Callable

import pytest

from kdcore.spec import DistillJob, Limits, Mlp, TrainJob
from kdstore import jobs, workspaces
from kdstore.db import SessionFactory, transaction
from kdstore.objects import ObjectStore
from tests.kdstore.holdings import Holdings

QueueJob = Callable[..., str]
ClaimJob = Callable[..., jobs.Claim]


@pytest.fixture
def workspace_id(session_factory: SessionFactory) -> str:
    with transaction(session_factory) as session:
        return workspaces.ensure(session, name="distillers").id


@pytest.fixture
def other_workspace_id(session_factory: SessionFactory) -> str:
    with transaction(session_factory) as session:
        return workspaces.ensure(session, name="strangers").id


@pytest.fixture
def queue_job(session_factory: SessionFactory, workspace_id: str) -> QueueJob:
    """Call it to queue a job and get its id."""

    def queue(
        *, max_attempts: int = 3, priority: int = 0, spec: TrainJob | DistillJob | None = None
    ) -> str:
        spec = spec or TrainJob(
            name="small",
            dataset="digits",
            network=Mlp(hidden=(8,)),
            priority=priority,
            limits=Limits(max_attempts=max_attempts),
            tags={"team": "vision"},
        )
        with transaction(session_factory) as session:
            job = jobs.create(session, workspace_id=workspace_id, spec=spec)
            return job.id

    return queue


@pytest.fixture
def claim_job(session_factory: SessionFactory) -> ClaimJob:
    """Call it to claim a queued job; a lease of -1 seconds has run out at once."""

    def claim(job_id: str, *, lease_seconds: float = 60.0, worker: str = "w1") -> jobs.Claim:
        with transaction(session_factory) as session:
            claim = jobs.claim(
                session, job_id, worker=worker, device="cpu", lease_seconds=lease_seconds
            )
        assert claim is not None
        return claim

    return claim


@pytest.fixture
def status_of(session_factory: SessionFactory, workspace_id: str) -> Callable[[str], str]:
    """Call it to read a job's status."""

    def read(job_id: str) -> str:
        with transaction(session_factory) as session:
            return jobs.get(session, workspace_id=workspace_id, job_id=job_id).status

    return read


@pytest.fixture
def holdings(session_factory: SessionFactory, object_store: ObjectStore) -> Holdings:
    """Makes rows that refer to objects, with the objects."""
    return Holdings(session_factory, object_store)
