"""The live stream: every event once, in order, resumed where a client left off."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from kdstore import jobs, keys
from kdstore.db import SessionFactory, transaction

MakeToken = Any  # these are classes of conftest.py, which tests cannot import
Rows = Any


@dataclass(frozen=True)
class Heard:
    """One message of a stream."""

    event: str
    data: dict[str, Any]  # any JSON
    id: str | None


def _messages(lines: Iterator[str]) -> Iterator[Heard]:
    fields: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            yield Heard(fields["event"], json.loads(fields["data"]), fields.get("id"))
            fields = {}


@pytest.fixture
def http(live_url: str, make_token: MakeToken) -> Iterator[httpx.Client]:
    """A client of the real server that asks for streams."""
    headers = {"Authorization": f"Bearer {make_token()}", "Accept": "text/event-stream"}
    with httpx.Client(base_url=live_url, headers=headers, timeout=30) as client:
        yield client


def test_whole_life_of_a_job_is_told_until_it_has_ended(http: httpx.Client, rows: Rows) -> None:
    job_id = rows.job()
    with http.stream("GET", f"/v1/jobs/{job_id}/events") as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        assert stream.headers["Cache-Control"] == "no-store"
        told = _messages(stream.iter_lines())
        assert next(told).data["data"]["to_status"] == "queued"
        fence = rows.claim(job_id)
        assert next(told).data["data"]["to_status"] == "running"
        assert next(told).event == "attempt_started"
        rows.progress(fence, fraction=0.5)
        progress = next(told)
        assert progress.event == "progress"
        assert progress.id is None
        assert progress.data["fraction"] == 0.5
        rows.finish(fence)
        rest = list(told)
    typed = [message for message in rest if message.event != "progress"]
    assert [message.event for message in typed] == ["attempt_ended", "status_changed"]
    assert typed[-1].data["data"]["to_status"] == "succeeded"


def test_each_event_has_its_number_as_id(http: httpx.Client, rows: Rows) -> None:
    job_id = rows.job()
    rows.finish(rows.claim(job_id))
    with http.stream("GET", f"/v1/jobs/{job_id}/events") as stream:
        told = list(_messages(stream.iter_lines()))
    assert [message.id for message in told] == [str(n + 1) for n in range(len(told))]
    assert [message.data["number"] for message in told] == [n + 1 for n in range(len(told))]


def test_stream_resumes_after_the_last_event_a_client_had(http: httpx.Client, rows: Rows) -> None:
    job_id = rows.job()
    url = f"/v1/jobs/{job_id}/events"
    with http.stream("GET", url) as stream:
        first = next(_messages(stream.iter_lines()))
    fence = rows.claim(job_id)
    with http.stream("GET", url, headers={"Last-Event-ID": first.id or ""}) as stream:
        second = next(_messages(stream.iter_lines()))
    assert (first.id, second.id) == ("1", "2")
    rows.finish(fence)
    with http.stream("GET", url, params={"cursor": "3"}) as stream:
        assert [message.id for message in _messages(stream.iter_lines())] == ["4", "5"]


def test_last_event_id_wins_over_the_cursor(http: httpx.Client, rows: Rows) -> None:
    job_id = rows.job()
    rows.finish(rows.claim(job_id))
    url = f"/v1/jobs/{job_id}/events"
    with http.stream("GET", url, params={"cursor": "1"}, headers={"Last-Event-ID": "4"}) as stream:
        assert [message.id for message in _messages(stream.iter_lines())] == ["5"]


def test_client_that_has_everything_is_told_to_stay_away(http: httpx.Client, rows: Rows) -> None:
    job_id = rows.job()
    rows.finish(rows.claim(job_id))
    answer = http.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": "5"})
    assert answer.status_code == 204


def test_unchanged_progress_is_told_once_and_silence_is_filled(
    http: httpx.Client, rows: Rows
) -> None:
    job_id = rows.job()
    rows.progress(rows.claim(job_id), fraction=0.5)
    with http.stream("GET", f"/v1/jobs/{job_id}/events") as stream:
        lines = stream.iter_lines()
        heard: list[str] = []
        while heard.count(": ping") < 2:
            heard.append(next(lines))
    assert heard.count("event: progress") == 1


def test_many_clients_follow_one_job(http: httpx.Client, rows: Rows) -> None:
    job_id = rows.job()
    heard: list[list[str | None]] = []
    started = threading.Barrier(9)

    def follow() -> None:
        with http.stream("GET", f"/v1/jobs/{job_id}/events") as stream:
            messages = _messages(stream.iter_lines())
            ids = [next(messages).id]
            started.wait(timeout=30)
            heard.append(ids + [message.id for message in messages])

    threads = [threading.Thread(target=follow) for _ in range(8)]
    for thread in threads:
        thread.start()
    started.wait(timeout=30)
    rows.finish(rows.claim(job_id))
    for thread in threads:
        thread.join()
    assert heard == [["1", "2", "3", "4", "5"]] * 8


def test_stream_ends_when_the_server_stops(http: httpx.Client, rows: Rows, app: FastAPI) -> None:
    with http.stream("GET", f"/v1/jobs/{rows.job()}/events") as stream:
        messages = _messages(stream.iter_lines())
        next(messages)
        app.state.potstill.stopping.set()
        assert list(messages) == []


def test_stream_ends_when_its_key_is_revoked(
    http: httpx.Client,
    rows: Rows,
    session_factory: SessionFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("api.jobs.stream._KEY_CHECK_SECONDS", 0.0)
    job_id = rows.job()
    with http.stream("GET", f"/v1/jobs/{job_id}/events") as stream:
        messages = _messages(stream.iter_lines())
        next(messages)
        with transaction(session_factory) as session:
            key_id = f"key_{http.headers['Authorization'].split('_')[1]}"
            keys.revoke(session, workspace_id=rows.workspace_id, key_id=key_id)
        assert list(messages) == []
    assert http.get(f"/v1/jobs/{job_id}/events").status_code == 401


@pytest.mark.parametrize("last", ["x", "-1", "9" * 30])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_strange_last_event_id_is_refused(http: httpx.Client, rows: Rows, last: str) -> None:
    url = f"/v1/jobs/{rows.job()}/events"
    answer = http.get(url, headers={"Last-Event-ID": last})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["parameter"] == "Last-Event-ID"


def test_unknown_job_is_not_found(http: httpx.Client) -> None:
    assert http.get("/v1/jobs/job_x/events").status_code == 404


def test_retried_job_streams_on_after_its_first_end(http: httpx.Client, rows: Rows) -> None:
    job_id = rows.job()
    rows.fail(rows.claim(job_id))
    with transaction(rows.session_factory) as session:
        jobs.retry(session, workspace_id=rows.workspace_id, job_id=job_id)
    with http.stream("GET", f"/v1/jobs/{job_id}/events", params={"cursor": "5"}) as stream:
        messages = _messages(stream.iter_lines())
        assert next(messages).data["data"] == {
            "from_status": "failed",
            "to_status": "queued",
            "error_code": None,
            "fault": None,
            "request_id": None,
        }
        rows.claim(job_id)
        assert next(messages).data["data"]["to_status"] == "running"
