"""A request sent again gets the first answer, and creates nothing twice."""

import threading

import pytest

from kdstore import idempotency, workspaces
from kdstore.db import SessionFactory, reading, transaction
from kdstore.errors import IdempotencyConflict
from kdstore.idempotency import Answer
from kdstore.tables import IdempotencyKey

ANSWER = Answer(status=201, body={"id": "job_1"}, headers={"Location": "/v1/jobs/job_1"})


def _request(
    session_factory: SessionFactory,
    workspace_id: str,
    *,
    route: str = "POST /v1/jobs",
    body: bytes = b"{}",
    answer: Answer = ANSWER,
) -> Answer | None:
    with transaction(session_factory) as session:
        before = idempotency.begin(
            session, workspace_id=workspace_id, key="k", route=route, body=body
        )
        if before is None:
            idempotency.finish(session, workspace_id=workspace_id, key="k", answer=answer)
        return before


def test_first_request_goes_on_and_the_second_gets_its_answer(
    session_factory: SessionFactory, workspace_id: str
) -> None:
    assert _request(session_factory, workspace_id) is None
    other = Answer(status=500, body={}, headers={})
    assert _request(session_factory, workspace_id, answer=other) == ANSWER


@pytest.mark.parametrize("changed", [{"body": b'{"name": "other"}'}, {"route": "POST /v1/models"}])
def test_another_request_with_the_key_is_a_conflict(
    changed: dict[str, str], session_factory: SessionFactory, workspace_id: str
) -> None:
    _request(session_factory, workspace_id)
    with pytest.raises(IdempotencyConflict) as raised:
        _request(session_factory, workspace_id, **changed)  # type: ignore[arg-type]  # parametrised
    assert raised.value.key == "k"


def test_workspaces_do_not_share_keys(
    session_factory: SessionFactory, workspace_id: str, other_workspace_id: str
) -> None:
    assert _request(session_factory, workspace_id) is None
    assert _request(session_factory, other_workspace_id) is None


def test_failed_request_frees_its_key(session_factory: SessionFactory, workspace_id: str) -> None:
    def fail() -> None:
        with transaction(session_factory) as session:
            idempotency.begin(
                session, workspace_id=workspace_id, key="k", route="POST /v1/jobs", body=b"{}"
            )
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert _request(session_factory, workspace_id) is None


def test_key_without_an_answer_is_a_conflict(
    session_factory: SessionFactory, workspace_id: str
) -> None:
    with transaction(session_factory) as session:
        idempotency.begin(
            session, workspace_id=workspace_id, key="k", route="POST /v1/jobs", body=b"{}"
        )
    with pytest.raises(IdempotencyConflict):
        _request(session_factory, workspace_id)


def test_of_many_requests_at_once_one_creates_and_all_get_its_answer(
    session_factory: SessionFactory, workspace_id: str
) -> None:
    barrier = threading.Barrier(5)
    answers: list[Answer] = []

    def request(number: int) -> None:
        mine = Answer(status=201, body={"id": f"job_{number}"}, headers={})
        barrier.wait()
        with transaction(session_factory) as session:
            before = idempotency.begin(
                session, workspace_id=workspace_id, key="k", route="POST /v1/jobs", body=b"{}"
            )
            if before is None:
                workspaces.ensure(session, name=f"made by {number}")
                idempotency.finish(session, workspace_id=workspace_id, key="k", answer=mine)
        answers.append(before or mine)

    threads = [threading.Thread(target=request, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 5
    assert len({answer.body["id"] for answer in answers}) == 1


def test_old_keys_are_forgotten(session_factory: SessionFactory, workspace_id: str) -> None:
    _request(session_factory, workspace_id)
    with transaction(session_factory) as session:
        assert idempotency.sweep(session, older_than_seconds=3600) == 0
        assert idempotency.sweep(session, older_than_seconds=-1) == 1
    with reading(session_factory) as session:
        assert session.get(IdempotencyKey, (workspace_id, "k")) is None
