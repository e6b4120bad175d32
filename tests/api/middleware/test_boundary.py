"""Every answer has an id, every request one log line, and nothing unexpected gets out."""

import json
import logging
from typing import Any

import pytest
from fastapi import FastAPI

from api.log import FIELDS
from kdstore.log import JsonFormatter

Client = Any  # these are classes of conftest.py, which tests cannot import
Rows = Any

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

_SECRET = "/srv/secret/path"


@pytest.fixture
def broken(app: FastAPI) -> None:
    """Routes that fail in ways nobody foresaw."""

    @app.get("/broken")
    def fail() -> None:
        raise RuntimeError(f"no such file: {_SECRET}")

    @app.get("/broken-answer")
    def answer() -> int:
        return "not a number"  # type: ignore[return-value]  # the mistake under test


@on_sqlite
class TestRequestId:
    def test_every_answer_has_one(self, anonymous: Client) -> None:
        ids = {anonymous.get("/healthz").headers["X-Request-Id"] for _ in range(3)}
        assert len(ids) == 3

    def test_client_may_choose_it(self, anonymous: Client) -> None:
        answer = anonymous.get("/v1/jobs", headers={"X-Request-Id": "trace-7.a_B"})
        assert answer.headers["X-Request-Id"] == "trace-7.a_B"
        assert answer.json()["request_id"] == "trace-7.a_B"

    @pytest.mark.parametrize("given", ["", "a b", "x" * 65, "<script>", "a\u00e9"])
    def test_strange_id_is_replaced(self, anonymous: Client, given: str) -> None:
        headers = {"X-Request-Id": given.encode("latin-1")}
        answer = anonymous.get("/healthz", headers=headers)
        assert answer.headers["X-Request-Id"].startswith("req_")


@on_sqlite
class TestUnexpectedErrors:
    @pytest.mark.parametrize("url", ["/broken", "/broken-answer"])
    @pytest.mark.usefixtures("broken")
    def test_answer_tells_nothing_of_it(self, anonymous: Client, url: str) -> None:
        answer = anonymous.get(url)
        assert answer.status_code == 500
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["code"] == "internal_error"
        assert answer.json()["request_id"] == answer.headers["X-Request-Id"]
        for told in ("secret", "Traceback", "RuntimeError", "pydantic", "not a number"):
            assert told not in answer.text

    @pytest.mark.usefixtures("broken")
    def test_log_has_the_trace_and_the_request_id(
        self, anonymous: Client, caplog: pytest.LogCaptureFixture
    ) -> None:
        answer = anonymous.get("/broken")
        errors = [record for record in caplog.records if record.levelno == logging.ERROR]
        [line] = [json.loads(JsonFormatter(FIELDS).format(record)) for record in errors]
        assert line["request_id"] == answer.headers["X-Request-Id"]
        assert _SECRET in line["trace"]


@on_sqlite
class TestRequestLog:
    def test_line_names_operation_workspace_and_job_and_no_secret(
        self, client: Client, rows: Rows, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        job_id = rows.job()
        client.get(f"/v1/jobs/{job_id}?token=abc", headers={"X-Request-Id": "mine"})
        lines = _lines(caplog)
        [line] = [json.loads(line) for line in lines if '"message": "request"' in line]
        assert line["request_id"] == "mine"
        assert line["operation"] == "get_job"
        assert line["status"] == 200
        assert line["job_id"] == job_id
        assert line["workspace_id"] == rows.workspace_id
        assert line["duration_ms"] > 0
        assert client.token is not None
        assert client.token not in "".join(lines)
        assert "token=abc" not in "".join(lines)

    def test_text_of_a_stranger_is_not_logged(
        self, anonymous: Client, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        anonymous.get("/v1/jobs/not_an_id_of_ours")
        assert "not_an_id_of_ours" not in "".join(_lines(caplog))


def _lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the API logs; the test's own client logs its requests too."""
    ours = [record for record in caplog.records if record.name.startswith("potstill")]
    return [JsonFormatter(FIELDS).format(record) for record in ours]


def test_fields_outside_the_allow_list_are_not_written() -> None:
    record = logging.makeLogRecord({"msg": "x", "authorization": "Bearer k", "status": 200})
    line = json.loads(JsonFormatter(FIELDS).format(record))
    assert line["status"] == 200
    assert "authorization" not in line
