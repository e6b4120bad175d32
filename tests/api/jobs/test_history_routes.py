"""Metrics, events and log lines of a job, in pages and down-sampled."""

from typing import Any

import pytest

from kdcore.progress import LogLine, MetricPoint
from kdstore import logs, metrics
from kdstore.db import SessionFactory, transaction

Client = Any  # these are classes of conftest.py, which tests cannot import
Rows = Any
Json = dict[str, Any]


@pytest.fixture
def job_id(rows: Rows, session_factory: SessionFactory) -> str:
    """A running job with a curve of 100 points, a spike in it, and 30 log lines."""
    job_id: str = rows.job()
    fence = rows.claim(job_id)
    points = [
        MetricPoint(name="loss", step=step, value=9.0 if step == 42 else 1.0 / (step + 1))
        for step in range(100)
    ]
    with transaction(session_factory) as session:
        metrics.append(session, fence, run="network", points=points)
        accuracy = [MetricPoint(name="accuracy", step=99, value=0.5)]
        metrics.append(session, fence, run="network", points=accuracy)
        logs.append(session, fence, [LogLine(message=f"line {n}") for n in range(1, 31)])
    return job_id


class TestMetrics:
    def test_every_series_is_given(self, client: Client, job_id: str) -> None:
        series = client.get(f"/v1/jobs/{job_id}/metrics").json()["series"]
        found = {each["name"]: each for each in series}
        assert set(found) == {"loss", "accuracy"}
        assert found["loss"]["run"] == "network"
        assert found["loss"]["steps"] == list(range(100))
        assert found["accuracy"] == {
            "name": "accuracy",
            "run": "network",
            "steps": [99],
            "values": [0.5],
        }

    def test_series_run_and_first_step_can_be_chosen(self, client: Client, job_id: str) -> None:
        url = f"/v1/jobs/{job_id}/metrics"
        chosen = {"name": "loss", "run": "network", "since_step": 97}
        [series] = client.get(url, params=chosen).json()["series"]
        assert series["steps"] == [97, 98, 99]
        assert client.get(url, params={"run": "teacher"}).json()["series"] == []

    def test_down_sampling_keeps_the_spike(self, client: Client, job_id: str) -> None:
        chosen = {"name": "loss", "max_points": 10}
        [series] = client.get(f"/v1/jobs/{job_id}/metrics", params=chosen).json()["series"]
        assert len(series["steps"]) <= 10
        assert max(series["values"]) == 9.0
        assert series["steps"][0] == 0
        assert series["steps"][-1] == 99

    @pytest.mark.parametrize(
        "parameters",
        [{"max_points": 3}, {"max_points": 10**9}, {"since_step": -1}, {"since_step": 10**12}],
    )
    def test_strange_bounds_are_refused(
        self, client: Client, job_id: str, parameters: Json
    ) -> None:
        answer = client.get(f"/v1/jobs/{job_id}/metrics", params=parameters)
        assert answer.status_code == 422

    def test_unknown_run_is_refused(self, client: Client, job_id: str) -> None:
        answer = client.get(f"/v1/jobs/{job_id}/metrics", params={"run": "assistant"})
        assert answer.status_code == 422


class TestEvents:
    def test_events_are_typed_and_numbered_without_gap(self, client: Client, job_id: str) -> None:
        page = client.get(f"/v1/jobs/{job_id}/events").json()
        assert [event["number"] for event in page["items"]] == [1, 2, 3]
        assert [event["type"] for event in page["items"]] == [
            "status_changed",
            "status_changed",
            "attempt_started",
        ]
        assert page["items"][2]["data"] == {"attempt": 1, "worker": "worker-1", "device": "cpu"}
        assert page["next_cursor"] is None

    def test_pages_go_on_where_the_last_ended(self, client: Client, job_id: str) -> None:
        url = f"/v1/jobs/{job_id}/events"
        first = client.get(url, params={"limit": 2}).json()
        assert first["next_cursor"] == "2"
        rest = client.get(url, params={"limit": 2, "cursor": first["next_cursor"]}).json()
        assert [event["number"] for event in rest["items"]] == [3]
        assert rest["next_cursor"] is None
        assert client.get(url, params={"cursor": "3"}).json()["items"] == []

    @pytest.mark.parametrize("cursor", ["-1", "x", "1.5", "9" * 30])
    def test_strange_cursor_is_refused(self, client: Client, job_id: str, cursor: str) -> None:
        answer = client.get(f"/v1/jobs/{job_id}/events", params={"cursor": cursor})
        assert answer.status_code == 422


class TestLogs:
    def test_tail_gives_the_last_lines_in_order(self, client: Client, job_id: str) -> None:
        page = client.get(f"/v1/jobs/{job_id}/logs", params={"tail": 2}).json()
        assert [line["message"] for line in page["items"]] == ["line 29", "line 30"]
        assert page["items"][0]["attempt"] == 1
        assert page["items"][0]["level"] == "info"
        assert page["next_cursor"] is None

    def test_range_goes_on_from_a_cursor(self, client: Client, job_id: str) -> None:
        url = f"/v1/jobs/{job_id}/logs"
        first = client.get(url, params={"limit": 20}).json()
        assert [line["number"] for line in first["items"]] == list(range(1, 21))
        rest = client.get(url, params={"limit": 20, "cursor": first["next_cursor"]}).json()
        assert [line["number"] for line in rest["items"]] == list(range(21, 31))
        assert rest["next_cursor"] is None

    @pytest.mark.parametrize("parameters", [{"tail": 0}, {"tail": 1001}, {"limit": 0}])
    def test_strange_bounds_are_refused(
        self, client: Client, job_id: str, parameters: Json
    ) -> None:
        assert client.get(f"/v1/jobs/{job_id}/logs", params=parameters).status_code == 422


@pytest.mark.parametrize("what", ["metrics", "events", "logs"])
class TestEach:
    def test_unknown_job_is_not_found(self, client: Client, what: str) -> None:
        answer = client.get(f"/v1/jobs/job_x/{what}")
        assert answer.status_code == 404
        assert answer.json()["code"] == "job_not_found"

    def test_unchanged_answer_is_not_sent_again(
        self, client: Client, job_id: str, what: str
    ) -> None:
        url = f"/v1/jobs/{job_id}/{what}"
        headers = {"If-None-Match": client.get(url).headers["ETag"]}
        assert client.get(url, headers=headers).status_code == 304
