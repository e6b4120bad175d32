"""Prometheus reads requests by route, what waits, and what is down; no text of a stranger."""

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from api.state import AppState
from kdstore.settings import Settings

Client = Any  # a class of conftest.py, which tests cannot import
Rows = Any  # likewise

sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def samples(client: Client) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample of a scrape by its name and labels."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(client: Client, name: str, **labels: str) -> float | None:
    return samples(client).get((name, frozenset(labels.items())))


def test_work_that_waits_is_told_without_a_key(anonymous: Client, rows: Rows) -> None:
    rows.job()
    rows.claim(rows.job())
    assert value(anonymous, "potstill_jobs", status="queued") == 1
    assert value(anonymous, "potstill_jobs", status="running") == 1
    assert value(anonymous, "potstill_queue_depth", queue="training") == 1
    assert value(anonymous, "potstill_queue_depth", queue="training-gpu") == 0


@sqlite
def test_requests_are_counted_by_template_and_hold_no_id(client: Client, rows: Rows) -> None:
    job_id = rows.job()
    client.get(f"/v1/jobs/{job_id}")
    client.get("/v1/jobs/job_nothing")
    found = samples(client)
    route = {"method": "GET", "route": "/v1/jobs/{job_id}"}
    for status in ("200", "404"):
        key = frozenset({**route, "status": status}.items())
        assert found["potstill_http_request_duration_seconds_count", key] == 1
    labels = {text for _, pairs in found for _, text in pairs}
    assert job_id not in labels


@sqlite
def test_strange_methods_and_addresses_make_no_labels_of_their_own(client: Client) -> None:
    for number in range(3):
        client.request(f"STRANGE{number}", f"/no/such/address/{number}")
    labels = {"method": "other", "route": "unmatched", "status": "404"}
    assert value(client, "potstill_http_request_duration_seconds_count", **labels) == 3


@sqlite
def test_failed_storage_is_counted(anonymous: Client, state: AppState) -> None:
    folder = state.settings.data_dir / "objects"
    folder.rmdir()
    folder.write_text("a file where the folder was")
    found = samples(anonymous)
    assert found["potstill_part_up", frozenset({("part", "objects")})] == 0
    assert found["potstill_part_up", frozenset({("part", "database")})] == 1
    assert value(anonymous, "potstill_objects_failures_total") == 1


class TestToken:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"metrics_token": SecretStr("scrape-me")})

    @sqlite
    def test_without_or_with_another_token_nothing_is_told(self, anonymous: Client) -> None:
        missing = anonymous.get("/metrics")
        assert (missing.status_code, missing.json()["code"]) == (401, "key_missing")
        wrong = anonymous.get("/metrics", headers={"Authorization": "Bearer other"})
        assert (wrong.status_code, wrong.json()["code"]) == (401, "key_invalid")
        assert "potstill_jobs" not in missing.text + wrong.text

    @sqlite
    def test_with_the_token_all_is_told(self, anonymous: Client) -> None:
        answer = anonymous.get("/metrics", headers={"Authorization": "Bearer scrape-me"})
        assert "potstill_jobs" in answer.text


class TestWithoutDatabase:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        away = SecretStr("postgresql+psycopg://potstill:hunter2@127.0.0.1:1/potstill")
        return settings.model_copy(update={"database_url": away})

    @sqlite
    def test_scrape_answers_and_says_what_is_away(self, anonymous: Client) -> None:
        found = samples(anonymous)
        assert found["potstill_part_up", frozenset({("part", "database")})] == 0
        assert not any(name == "potstill_jobs" for name, _ in found)
