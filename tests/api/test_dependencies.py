"""Who may do what, and that an answer is only given once its transaction is committed."""

from collections.abc import Callable
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import event, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from starlette.types import Message, Receive, Scope, Send

from api.state import AppState
from kdstore.db import SessionFactory, reading
from kdstore.settings import Settings
from kdstore.tables import Job

TRAIN = {"kind": "train", "network": {"architecture": "mlp", "hidden": [8]}}
Messages = Callable[[], list[tuple[str, str]]]
Client = Any  # these three are classes of conftest.py, which tests cannot import
MakeClient = Any
Rows = Any


class CommitWatcher:
    """An app that notes which jobs others can see at the moment the answer begins."""

    def __init__(self, app: FastAPI, session_factory: SessionFactory) -> None:
        self._app = app
        self._session_factory = session_factory
        self.visible: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def watch(message: Message) -> None:
            if message["type"] == "http.response.start":
                with reading(self._session_factory) as session:
                    self.visible = list(session.scalars(select(Job.id)))
            await send(message)

        await self._app(scope, receive, watch)


class TestAuthentication:
    def test_request_without_key_is_refused(self, anonymous: Client) -> None:
        answer = anonymous.get("/v1/jobs")
        assert answer.status_code == 401
        assert answer.json()["code"] == "key_missing"
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")

    @pytest.mark.parametrize("token", ["nonsense", "potstill_abc_def", "x" * 5000, "a_b_c_d"])
    def test_unknown_key_is_refused(self, anonymous: Client, token: str) -> None:
        answer = anonymous.get("/v1/jobs", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401
        assert answer.json()["code"] == "key_invalid"
        assert token not in answer.text

    def test_other_scheme_is_no_key(self, anonymous: Client) -> None:
        answer = anonymous.get("/v1/jobs", headers={"Authorization": "Basic dTpw"})
        assert answer.json()["code"] == "key_missing"

    def test_viewer_reads_and_may_not_write(self, make_client: MakeClient, rows: Rows) -> None:
        viewer = make_client(role="viewer")
        job_id = rows.job()
        assert viewer.get(f"/v1/jobs/{job_id}").status_code == 200
        body = TRAIN | {"dataset": rows.ready_dataset()}
        assert viewer.post("/v1/jobs/validate", json=body).status_code == 200
        refused = [
            viewer.post("/v1/jobs", json=body),
            viewer.post(f"/v1/jobs/{job_id}/cancel"),
            viewer.post("/v1/uploads", json={}),
            viewer.put("/v1/uploads/upl_x/parts/1", content=b"x"),
            viewer.delete("/v1/uploads/upl_x"),
        ]
        assert {answer.status_code for answer in refused[:2] + refused[3:]} == {403}
        assert refused[0].json()["code"] == "role_too_low"
        assert viewer.get(f"/v1/jobs/{job_id}").json()["status"] == "queued"


class TestTransaction:
    def test_job_is_committed_before_the_answer_begins(
        self,
        app: FastAPI,
        portal: BlockingPortal,
        make_client: MakeClient,
        rows: Rows,
        session_factory: SessionFactory,
    ) -> None:
        client = make_client()
        watcher = CommitWatcher(app, session_factory)
        watched = type(client)(portal, watcher, client.token)
        answer = watched.post("/v1/jobs", json=TRAIN | {"dataset": rows.ready_dataset()})
        assert answer.status_code == 201
        assert watcher.visible == [answer.json()["id"]]

    def test_failing_commit_is_an_error_and_publishes_nothing(
        self, client: Client, rows: Rows, state: AppState, messages: Messages
    ) -> None:
        dataset_id = rows.ready_dataset()
        before = messages()

        def fail(_session: Session) -> None:
            raise OperationalError("COMMIT", {}, Exception("gone: /secret/path"))

        event.listen(state.session_factory, "before_commit", fail)
        answer = client.post("/v1/jobs", json=TRAIN | {"dataset": dataset_id})
        event.remove(state.session_factory, "before_commit", fail)
        assert answer.status_code == 503
        assert answer.json()["code"] == "database_unavailable"
        assert "secret" not in answer.text
        assert messages() == before
        assert client.get("/v1/jobs").json()["items"] == []

    def test_refused_request_publishes_nothing(
        self, client: Client, rows: Rows, messages: Messages
    ) -> None:
        job_id = rows.job()
        before = messages()
        assert client.post(f"/v1/jobs/{job_id}/resume").status_code == 409
        assert messages() == before

    def test_created_job_is_published_by_its_id(
        self, client: Client, rows: Rows, messages: Messages
    ) -> None:
        answer = client.post("/v1/jobs", json=TRAIN | {"dataset": rows.ready_dataset()})
        assert ("potstill.train_job", answer.json()["id"]) in messages()


class TestBrokerDown:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        broker = SecretStr("redis://127.0.0.1:1/0")  # nothing listens at port 1
        return settings.model_copy(update={"broker_url": broker})

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_job_is_created_all_the_same(
        self, client: Client, rows: Rows, caplog: pytest.LogCaptureFixture
    ) -> None:
        answer = client.post("/v1/jobs", json=TRAIN | {"dataset": rows.ready_dataset()})
        assert answer.status_code == 201
        assert answer.json()["status"] == "queued"
        assert "not published" in caplog.messages

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_readiness_names_the_broker(self, anonymous: Client) -> None:
        answer = anonymous.get("/readyz")
        assert answer.status_code == 503
        assert [item["code"] for item in answer.json()["errors"]] == ["broker_down"]
