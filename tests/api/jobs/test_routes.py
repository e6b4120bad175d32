"""Jobs: created once everything fits, read in constant work, moved only as the table allows."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from api.state import AppState
from kdstore import jobs
from kdstore.db import SessionFactory, transaction
from kdstore.tables import Job
from tests.api.queries import counting_queries

Client = Any  # these are classes of conftest.py, which tests cannot import
Rows = Any
Json = dict[str, Any]
Messages = Callable[[], list[tuple[str, str]]]


@pytest.fixture
def distillation(rows: Rows) -> Json:
    """A job whose dataset and teacher are ready and fit."""
    return {
        "kind": "distill",
        "name": "letters",
        "dataset": rows.ready_dataset(),
        "teachers": [{"model": rows.ready_model()}],
        "student": {"architecture": "mlp", "hidden": [8]},
        "tags": {"team": "vision"},
    }


class TestCreate:
    def test_distillation_is_queued_with_every_default_filled_in(
        self, client: Client, distillation: Json
    ) -> None:
        answer = client.post("/v1/jobs", json=distillation)
        assert answer.status_code == 201
        job = answer.json()
        assert answer.headers["Location"] == f"/v1/jobs/{job['id']}"
        assert job["id"].startswith("job_")
        assert job["status"] == "queued"
        assert job["kind"] == "distill"
        assert job["tags"] == {"team": "vision"}
        assert job["spec"]["method"] == {
            "name": "logit_kd",
            "temperature": 4.0,
            "ce_weight": 0.1,
            "kd_weight": 0.9,
        }
        assert job["spec"]["training"]["num_epochs"] == 30
        assert job["attempts"] == []
        assert client.get(answer.headers["Location"]).json() == job

    def test_training_needs_no_teacher(self, client: Client, rows: Rows) -> None:
        body = {
            "kind": "train",
            "dataset": rows.ready_dataset(),
            "network": {"architecture": "mlp", "hidden": [8]},
        }
        answer = client.post("/v1/jobs", json=body)
        assert answer.status_code == 201
        assert answer.json()["kind"] == "train"


class TestRead:
    def test_progress_that_an_older_version_wrote_is_still_told(
        self, client: Client, rows: Rows, session_factory: SessionFactory
    ) -> None:
        job_id = rows.job()
        rows.progress(rows.claim(job_id), fraction=0.25)
        with transaction(session_factory) as session:
            row = session.get_one(Job, job_id)
            assert row.progress is not None
            row.progress = {k: v for k, v in row.progress.items() if k != "training_stage"}
        progress = client.get(f"/v1/jobs/{job_id}").json()["progress"]
        assert (progress["fraction"], progress["training_stage"]) == (0.25, None)

    def test_running_job_tells_progress_and_attempt(self, client: Client, rows: Rows) -> None:
        job_id = rows.job(name="mine")
        rows.progress(rows.claim(job_id), fraction=0.25)
        job = client.get(f"/v1/jobs/{job_id}").json()
        assert job["status"] == "running"
        assert job["name"] == "mine"
        assert job["progress"]["fraction"] == 0.25
        assert job["progress"]["eta_seconds"] == 3.0
        assert job["progress"]["accuracy"] is None
        assert job["progress"]["training_stage"] == "training"
        [attempt] = job["attempts"]
        assert attempt["number"] == 1
        assert attempt["worker"] == "worker-1"
        assert attempt["exit_cause"] is None
        assert datetime.fromisoformat(job["started_at"]).utcoffset() is not None

    def test_failed_job_tells_the_cause_and_whose_fault_it_is(
        self, client: Client, rows: Rows
    ) -> None:
        job_id = rows.job()
        rows.fail(rows.claim(job_id))
        job = client.get(f"/v1/jobs/{job_id}").json()
        assert job["status"] == "failed"
        assert job["error"] == {
            "code": "diverged",
            "message": "The loss is no longer finite.",
            "fault": "user",
        }
        assert job["attempts"][0]["exit_cause"] == "diverged"
        assert job["ended_at"] is not None

    def test_succeeded_job_tells_its_result(self, client: Client, rows: Rows) -> None:
        job_id = rows.job()
        rows.finish(rows.claim(job_id))
        job = client.get(f"/v1/jobs/{job_id}").json()
        assert job["status"] == "succeeded"
        assert job["result"] == {"accuracy": 0.5}
        assert job["error"] is None

    def test_unchanged_job_is_not_sent_again(self, client: Client, rows: Rows) -> None:
        job_id = rows.job()
        etag = client.get(f"/v1/jobs/{job_id}").headers["ETag"]
        headers = {"If-None-Match": f'"other", W/{etag}'}
        assert client.get(f"/v1/jobs/{job_id}", headers=headers).status_code == 304
        rows.claim(job_id)
        assert client.get(f"/v1/jobs/{job_id}", headers=headers).status_code == 200

    def test_work_does_not_grow_with_history(
        self, client: Client, rows: Rows, state: AppState, session_factory: SessionFactory
    ) -> None:
        job_id = rows.job()
        with counting_queries(state.engine) as fresh:
            client.get(f"/v1/jobs/{job_id}")
        for _ in range(5):
            fence = rows.claim(job_id)
            with transaction(session_factory) as session:
                jobs.release(session, fence)
        with counting_queries(state.engine) as seasoned:
            job = client.get(f"/v1/jobs/{job_id}").json()
        assert len(job["attempts"]) == 5
        assert len(fresh) == len(seasoned) == 3  # key, job, attempts

    def test_unknown_job_is_not_found(self, client: Client) -> None:
        answer = client.get("/v1/jobs/job_x")
        assert answer.status_code == 404
        assert answer.json()["code"] == "job_not_found"


class TestList:
    def test_pages_are_newest_first_and_whole(self, client: Client, rows: Rows) -> None:
        made = [rows.job() for _ in range(5)]
        found: list[str] = []
        cursor: str | None = None
        for _ in range(3):
            parameters = {"limit": 2} | ({"cursor": cursor} if cursor else {})
            page = client.get("/v1/jobs", params=parameters).json()
            found += [job["id"] for job in page["items"]]
            cursor = page["next_cursor"]
        assert found == made[::-1]
        assert cursor is None

    def test_filters_by_status_kind_and_tag(
        self, client: Client, rows: Rows, distillation: Json
    ) -> None:
        distilled = client.post("/v1/jobs", json=distillation).json()["id"]
        running = rows.job(tags={"team": "vision", "run": "a b"})
        queued = rows.job(tags={"team": "speech"})
        rows.claim(running)
        expected: list[tuple[Json, list[str]]] = [
            ({"status": "running"}, [running]),
            ({"status": "queued"}, [queued, distilled]),
            ({"kind": "distill"}, [distilled]),
            ({"tag": "team:vision"}, [running, distilled]),
            ({"tag": ["team:vision", "run:a b"]}, [running]),
            ({"tag": "team:"}, []),
            ({"tag": "other:x"}, []),
            ({"tag": "team:' OR 1=1 --"}, []),
            ({"tag": '") OR 1=1:x'}, []),
            ({"status": "running", "kind": "distill"}, []),
        ]
        for parameters, ids in expected:
            items = client.get("/v1/jobs", params=parameters).json()["items"]
            assert [job["id"] for job in items] == ids, parameters

    @pytest.mark.parametrize(
        "parameters",
        [
            {"status": "asleep"},
            {"kind": "both"},
            {"tag": "no colon"},
            {"tag": ":value"},
            {"limit": 201},
            {"cursor": "x"},
        ],
    )
    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_strange_filters_are_refused(self, client: Client, parameters: Json) -> None:
        assert client.get("/v1/jobs", params=parameters).status_code == 422

    def test_work_does_not_grow_with_the_page(
        self, client: Client, rows: Rows, state: AppState
    ) -> None:
        for _ in range(4):
            rows.claim(rows.job())
        with counting_queries(state.engine) as queries:
            items = client.get("/v1/jobs").json()["items"]
        assert [len(job["attempts"]) for job in items] == [1, 1, 1, 1]
        assert len(queries) == 3


class TestTransitions:
    def test_queued_job_is_cancelled_at_once(self, client: Client, rows: Rows) -> None:
        answer = client.post(f"/v1/jobs/{rows.job()}/cancel")
        assert answer.status_code == 202
        assert answer.json()["status"] == "cancelled"

    def test_running_job_is_cancelling_until_its_worker_has_stopped(
        self, client: Client, rows: Rows
    ) -> None:
        job_id = rows.job()
        rows.claim(job_id)
        job = client.post(f"/v1/jobs/{job_id}/cancel").json()
        assert job["status"] == "cancelling"
        assert len(job["attempts"]) == 1
        assert client.post(f"/v1/jobs/{job_id}/cancel").status_code == 202

    def test_paused_job_is_published_when_it_is_resumed(
        self, client: Client, rows: Rows, messages: Messages
    ) -> None:
        job_id = rows.job()
        assert client.post(f"/v1/jobs/{job_id}/pause").json()["status"] == "paused"
        assert ("potstill.train_job", job_id) not in messages()
        assert client.post(f"/v1/jobs/{job_id}/resume").json()["status"] == "queued"
        assert ("potstill.train_job", job_id) in messages()

    def test_failed_job_is_published_when_it_is_retried(
        self, client: Client, rows: Rows, messages: Messages
    ) -> None:
        job_id = rows.job()
        rows.fail(rows.claim(job_id))
        job = client.post(f"/v1/jobs/{job_id}/retry").json()
        assert job["status"] == "queued"
        assert job["error"] is None
        assert ("potstill.train_job", job_id) in messages()

    def test_job_is_retried_under_new_limits(self, client: Client, rows: Rows) -> None:
        job_id = rows.job()
        rows.fail(rows.claim(job_id))
        before = client.get(f"/v1/jobs/{job_id}").json()["spec"]["limits"]
        wish = {"limits": {"max_seconds": 12_345}}
        job = client.post(f"/v1/jobs/{job_id}/retry", json=wish).json()
        assert job["spec"]["limits"] == before | {"max_seconds": 12_345}

    @pytest.mark.parametrize(
        ("wish", "pointer"),
        [
            ({"limits": {"max_seconds": 0}}, "/limits/max_seconds"),
            ({"limits": {"seconds": 9}}, "/limits/seconds"),
            ({"max_seconds": 9}, "/max_seconds"),
        ],
    )
    def test_wrong_limits_are_refused_and_nothing_is_queued(
        self, client: Client, rows: Rows, wish: Any, pointer: str
    ) -> None:
        job_id = rows.job()
        rows.fail(rows.claim(job_id))
        answer = client.post(f"/v1/jobs/{job_id}/retry", json=wish)
        assert answer.status_code == 422
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
        assert client.get(f"/v1/jobs/{job_id}").json()["status"] == "failed"

    @pytest.mark.parametrize("action", ["cancel", "pause", "resume", "retry"])
    def test_succeeded_job_stays(self, client: Client, rows: Rows, action: str) -> None:
        job_id = rows.job()
        rows.finish(rows.claim(job_id))
        answer = client.post(f"/v1/jobs/{job_id}/{action}")
        assert answer.status_code == 409
        assert answer.json()["code"] == "invalid_transition"
        assert client.get(f"/v1/jobs/{job_id}").json()["status"] == "succeeded"

    @pytest.mark.parametrize("action", ["cancel", "pause", "resume", "retry"])
    def test_unknown_job_is_not_found(self, client: Client, action: str) -> None:
        assert client.post(f"/v1/jobs/job_x/{action}").status_code == 404
