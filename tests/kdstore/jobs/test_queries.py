"""Jobs are read within a workspace, with a constant number of queries."""

from collections.abc import Callable

import pytest
from sqlalchemy import Engine, event

from kdcore.spec import Mlp, TrainJob
from kdstore import jobs
from kdstore.db import SessionFactory, reading, transaction
from kdstore.errors import JobNotFound, ReportNotFound

ClaimJob = Callable[..., jobs.Claim]
QueueJob = Callable[..., str]


def test_job_of_another_workspace_is_not_found(
    session_factory: SessionFactory, queue_job: QueueJob, other_workspace_id: str
) -> None:
    job_id = queue_job()
    with reading(session_factory) as session:
        with pytest.raises(JobNotFound) as raised:
            jobs.get(session, workspace_id=other_workspace_id, job_id=job_id)
        with pytest.raises(JobNotFound):
            jobs.get_report(session, workspace_id=other_workspace_id, job_id=job_id)
        assert jobs.page(session, workspace_id=other_workspace_id).items == []
        found = jobs.attempts_of(session, workspace_id=other_workspace_id, job_ids=[job_id])
    assert raised.value.wanted == job_id
    assert found == {job_id: []}


def test_job_without_a_report_says_so(
    session_factory: SessionFactory, queue_job: QueueJob, workspace_id: str
) -> None:
    job_id = queue_job()
    with reading(session_factory) as session, pytest.raises(ReportNotFound):
        jobs.get_report(session, workspace_id=workspace_id, job_id=job_id)


def test_page_filters_by_status_and_kind(
    session_factory: SessionFactory, queue_job: QueueJob, claim_job: ClaimJob, workspace_id: str
) -> None:
    waiting, running = queue_job(), queue_job()
    claim_job(running)
    with reading(session_factory) as session:
        queued = jobs.page(session, workspace_id=workspace_id, status="queued").items
        distilled = jobs.page(session, workspace_id=workspace_id, kind="distill").items
        trained = jobs.page(session, workspace_id=workspace_id, kind="train").items
    assert [job.id for job in queued] == [waiting]
    assert distilled == []
    assert len(trained) == 2


@pytest.mark.parametrize(
    "tag", ["team", "a b", "a.b", 'quo"te', "back\\slash", "$[0]", "ünïcode", "%", "'"]
)
def test_page_filters_by_any_tag(
    tag: str, session_factory: SessionFactory, workspace_id: str
) -> None:
    def create(tags: dict[str, str]) -> str:
        spec = TrainJob(dataset="digits", network=Mlp(hidden=(8,)), tags=tags)
        with transaction(session_factory) as session:
            return jobs.create(session, workspace_id=workspace_id, spec=spec).id

    tagged = create({tag: "vision", "other": "x"})
    create({tag: "speech"})
    create({})
    with reading(session_factory) as session:
        found = jobs.page(session, workspace_id=workspace_id, tags={tag: "vision"}).items
        both = jobs.page(
            session, workspace_id=workspace_id, tags={tag: "vision", "other": "y"}
        ).items
    assert [job.id for job in found] == [tagged]
    assert both == []


def test_attempts_of_many_jobs_take_one_query(
    session_factory: SessionFactory,
    engine: Engine,
    queue_job: QueueJob,
    claim_job: ClaimJob,
    workspace_id: str,
) -> None:
    job_ids = [queue_job() for _ in range(3)]
    for job_id in job_ids[:2]:
        for _ in range(2):
            fence = claim_job(job_id).fence
            with transaction(session_factory) as session:
                jobs.release(session, fence)
    statements: list[str] = []
    event.listen(
        engine,
        "before_cursor_execute",
        lambda _c, _cur, statement, *_rest: statements.append(statement),
    )
    with reading(session_factory) as session:
        found = jobs.attempts_of(session, workspace_id=workspace_id, job_ids=job_ids)
    numbers = {job_id: [attempt.number for attempt in found[job_id]] for job_id in job_ids}
    assert numbers == {job_ids[0]: [1, 2], job_ids[1]: [1, 2], job_ids[2]: []}
    assert len([statement for statement in statements if "SELECT" in statement]) == 1
