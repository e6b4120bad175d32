"""Liveness, readiness, and the front page need no key."""

from typing import Any

import pytest

from api.state import AppState
from kdcore import __version__

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


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_front_page_says_what_this_is_and_links_work(client: Client) -> None:
    page = client.get("/").json()
    assert page["name"] == "Potstill"
    assert page["version"] == __version__
    admin_only = {"keys"}
    for name, link in page["links"].items():
        assert client.get(link).status_code == (403 if name in admin_only else 200), link
