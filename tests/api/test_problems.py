"""Errors are problem documents that name the field, and the table covers every error."""

import base64
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import event
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from api import errors
from api.state import AppState
from kdcore import errors as core
from kdstore import errors as store
from kdstore.settings import Settings

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

Client = Any  # a class of conftest.py, which tests cannot import

# Raised only below the API: a worker, or a transaction's end, deals with them.
_NEVER_ANSWERED = {
    store.KdstoreError,
    store.Refused,
    store.AttemptLost,
    store.ValidationLost,
    store.StorageError,
    store.ObjectNotFound,
    store.ObjectCondemned,
    store.QueueUnavailable,
    errors.ApiError,
    errors.BodyRefused,
}


def _tree(base: type[Exception]) -> set[type[Exception]]:
    return {base} | {found for child in base.__subclasses__() for found in _tree(child)}


def test_every_error_has_a_status() -> None:
    # Other tests of this process may have imported the worker, whose errors never get here.
    known = {
        error
        for error in _tree(store.KdstoreError) | _tree(errors.ApiError)
        if error.__module__.split(".")[0] in {"kdstore", "api"}
    }
    without = {error for error in known if errors.status_of(error) == 500}
    assert without == _NEVER_ANSWERED


def test_user_errors_of_the_library_have_a_status() -> None:
    for error in (core.SpecInvalid, core.IncompatibleInputs):
        assert errors.status_of(error) == 422


@on_sqlite
class TestValidation:
    def test_each_wrong_field_is_named_by_a_pointer(self, client: Client) -> None:
        body = {
            "kind": "distill",
            "dataset": "digits",
            "teachers": [{"model": "mdl_x", "wieght": 2}],
            "student": {"architecture": "mlp", "hidden": [8, "x"]},
            "method": {"name": "logit_kd", "temperature": 0},
        }
        answer = client.post("/v1/jobs", json=body)
        assert answer.status_code == 422
        problem = answer.json()
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert problem["code"] == "validation_failed"
        assert {item["pointer"]: item["code"] for item in problem["errors"]} == {
            "/teachers/0/wieght": "unknown_field",
            "/student/hidden/1": "int_type",
            "/method/temperature": "out_of_range",
        }
        assert "Did you mean 'weight'?" in answer.text

    @pytest.mark.parametrize(
        ("change", "pointer", "code"),
        [
            ({"method": {"name": "magic"}}, "/method/name", "unknown_choice"),
            ({"method": {"name": "logit_matching", "temperature": 2}}, "/method/temperature", ""),
            ({"method": {"name": "logit_kd", "temperature": -1}}, "/method/temperature", ""),
            ({"student": {"architecture": "lstm"}}, "/student/architecture", ""),
            ({"student": {"architecture": "torchvision/resnet9000"}}, "/student/architecture", ""),
            ({"teachers": []}, "/teachers", "too_short"),
            ({"extra": 1}, "/extra", "unknown_field"),
            ({"training": {"num_epochs": 1.5}}, "/training/num_epochs", ""),
        ],
    )
    def test_wrong_jobs_name_the_field(
        self, client: Client, change: dict[str, Any], pointer: str, code: str
    ) -> None:
        body = {
            "kind": "distill",
            "dataset": "digits",
            "teachers": [{"model": "mdl_x"}],
            "student": {"architecture": "mlp", "hidden": [8]},
        }
        for route in ("/v1/jobs", "/v1/jobs/validate"):
            answer = client.post(route, json=body | change)
            assert answer.status_code == 422
            [item] = answer.json()["errors"]
            assert item["pointer"] == pointer
            assert item["code"] == code or not code
            assert item["detail"]

    def test_wrong_parameter_is_named(self, client: Client) -> None:
        answer = client.get("/v1/jobs", params={"limit": 0, "status": "asleep"})
        assert answer.status_code == 422
        found = {item["parameter"]: item["code"] for item in answer.json()["errors"]}
        assert found == {"limit": "out_of_range", "status": "unknown_choice"}


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "2026-01-01T00:00:00+00:00|",
        "2026-01-01T00:00:00|job_x",
        "2026-01-01T00:00:00+00:00|a\0b",
        "2026-01-01T00:00:00+00:00|' OR 1=1 --",
        "0001-01-01T00:00:00+14:00|job_x",
        "9999-12-31T23:59:59-14:00|job_x",
    ],
)
def test_cursor_of_somebody_else_is_refused(client: Client, text: str) -> None:
    cursor = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    answer = client.get("/v1/jobs", params={"cursor": cursor})
    assert answer.status_code == 422
    assert answer.json()["code"] == "cursor_invalid"


@on_sqlite
class TestRouting:
    def test_unknown_route(self, client: Client) -> None:
        answer = client.get("/v1/nothing")
        assert answer.status_code == 404
        assert answer.json()["code"] == "route_not_found"

    def test_unknown_method_says_which_are_known(self, client: Client) -> None:
        answer = client.put("/v1/jobs")
        assert answer.status_code == 405
        assert answer.json()["code"] == "method_not_allowed"
        assert answer.headers["Allow"]

    def test_slash_at_the_end_redirects_nowhere(self, client: Client) -> None:
        answer = client.get("/v1/jobs/", headers={"Host": "evil.example"})
        assert answer.status_code == 404
        assert "evil" not in str(answer.headers)

    @pytest.mark.parametrize("path", ["%2e%2e%2fsecret", "..%5c..", "a b", "'--", "x" * 200])
    def test_ids_that_are_none_of_ours_are_not_found(self, client: Client, path: str) -> None:
        for route in ("jobs", "models", "datasets", "uploads"):
            assert client.get(f"/v1/{route}/{path}").status_code == 404


class TestDatabaseDown:
    @pytest.fixture
    def settings(self, tmp_path: Any) -> Settings:
        url = SecretStr("postgresql+psycopg://nobody:hidden@127.0.0.1:1/x")
        return Settings(environment="test", data_dir=tmp_path, database_url=url)

    def test_api_starts_and_answers_unavailable(self, anonymous: Client) -> None:
        headers = {"Authorization": "Bearer potstill_abc_def"}
        answer = anonymous.get("/v1/jobs", headers=headers)
        assert answer.status_code == 503
        assert answer.json()["code"] == "database_unavailable"
        assert int(answer.headers["Retry-After"]) > 0
        assert "hidden" not in answer.text
        assert "127.0.0.1" not in answer.text

    def test_readiness_names_the_database(self, anonymous: Client) -> None:
        answer = anonymous.get("/readyz")
        assert answer.status_code == 503
        assert [item["code"] for item in answer.json()["errors"]] == ["database_down"]
        assert anonymous.get("/healthz").status_code == 200


@on_sqlite
def test_exhausted_connections_are_unavailable(client: Client, state: AppState) -> None:
    def fail(_session: Session, _transaction: object, _connection: object) -> None:
        raise PoolTimeoutError

    event.listen(state.session_factory, "after_begin", fail)
    answer = client.get("/v1/jobs")
    event.remove(state.session_factory, "after_begin", fail)
    assert answer.status_code == 503
    assert client.get("/v1/jobs").status_code == 200
