"""Liveness, readiness, and the front page need no key."""

from typing import Any

import pytest
from pydantic import SecretStr

from api.state import AppState
from kdcore import __version__
from kdstore.settings import Settings

Client = Any  # a class of conftest.py, which tests cannot import


def test_everything_up_is_ready(anonymous: Client) -> None:
    assert anonymous.get("/healthz").json() == {"status": "live"}
    assert anonymous.get("/readyz").json() == {"status": "ready"}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_readiness_names_object_storage(anonymous: Client, state: AppState) -> None:
    folder = state.settings.data_dir / "objects"
    folder.rmdir()
    folder.write_text("a file where the folder was")
    answer = anonymous.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["code"] == "not_ready"
    assert [item["code"] for item in answer.json()["errors"]] == ["objects_down"]
    assert int(answer.headers["Retry-After"]) > 0


class TestPartsAway:
    """Each part in turn is an address at which nobody listens."""

    @pytest.fixture(params=["database", "objects", "broker"])
    def away(self, request: pytest.FixtureRequest) -> str:
        part: str = request.param
        return part

    @pytest.fixture
    def settings(self, settings: Settings, away: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        monkeypatch.setenv("AWS_REGION", "nowhere-1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
        urls = {
            "database": "postgresql+psycopg://potstill:hunter2@127.0.0.1:1/potstill",
            "objects": "s3://hunter2-bucket",
            "broker": "redis://:hunter2@127.0.0.1:1/0",
        }
        return settings.model_copy(update={f"{away}_url": SecretStr(urls[away])})

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_readiness_names_the_one_part_and_tells_no_url(
        self, anonymous: Client, away: str
    ) -> None:
        answer = anonymous.get("/readyz")
        assert answer.status_code == 503
        assert [item["code"] for item in answer.json()["errors"]] == [f"{away}_down"]
        assert "hunter2" not in answer.text
        assert "127.0.0.1" not in answer.text
        assert anonymous.get("/healthz").status_code == 200


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_front_page_says_what_this_is_and_links_work(client: Client) -> None:
    page = client.get("/").json()
    assert page["name"] == "Potstill"
    assert page["version"] == __version__
    admin_only = {"keys"}
    for name, link in page["links"].items():
        assert client.get(link).status_code == (403 if name in admin_only else 200), link
