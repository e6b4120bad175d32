"""Artifacts are read within a workspace; attempts never write one another's objects."""

from collections.abc import Callable

import pytest

from kdstore import artifacts, jobs
from kdstore.db import SessionFactory, reading, transaction
from kdstore.errors import ArtifactNotFound

ClaimJob = Callable[..., jobs.Claim]
QueueJob = Callable[..., str]


def _artifact(name: str) -> artifacts.NewArtifact:
    return artifacts.NewArtifact(
        name=name, object_key=f"k/{name}", size_bytes=1, sha256="0" * 64, media_type="text/plain"
    )


@pytest.fixture
def job_id(session_factory: SessionFactory, queue_job: QueueJob, claim_job: ClaimJob) -> str:
    job_id = queue_job()
    fence = claim_job(job_id).fence
    made = [_artifact("training.log"), _artifact("metrics.csv")]
    with transaction(session_factory) as session:
        jobs.finish(session, fence, result={}, report={}, artifacts=made)
    return job_id


def test_artifacts_are_listed_by_name(
    session_factory: SessionFactory, workspace_id: str, job_id: str
) -> None:
    with reading(session_factory) as session:
        found = artifacts.read_all(session, workspace_id=workspace_id, job_id=job_id)
        one = artifacts.get(session, workspace_id=workspace_id, job_id=job_id, name="training.log")
    assert [artifact.name for artifact in found] == ["metrics.csv", "training.log"]
    assert one.object_key == "k/training.log"


def test_other_workspaces_find_nothing(
    session_factory: SessionFactory, other_workspace_id: str, job_id: str
) -> None:
    with reading(session_factory) as session:
        found = artifacts.read_all(session, workspace_id=other_workspace_id, job_id=job_id)
        with pytest.raises(ArtifactNotFound, match=r"training\.log"):
            artifacts.get(
                session, workspace_id=other_workspace_id, job_id=job_id, name="training.log"
            )
    assert found == []


def test_two_attempts_never_name_the_same_object() -> None:
    keys = {
        artifacts.artifact_key(job_id="job_1", attempt=attempt, name="student.onnx")
        for attempt in (1, 2)
    }
    assert len(keys) == 2
