"""The first key of an installation is printed once."""

import json

import pytest

from api.first_key import main
from kdstore.db import SessionFactory, reading
from kdstore.keys import verify


@pytest.fixture(autouse=True)
def environment(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POTSTILL_DATABASE_URL", database_url)


def test_first_key_is_an_admins_and_works(
    session_factory: SessionFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([]) == 0
    printed = json.loads(capsys.readouterr().out)
    with reading(session_factory) as session:
        principal = verify(session, printed["token"])
    assert principal.role == "admin"
    assert principal.workspace_id == printed["workspace_id"]
    assert principal.key_id == printed["key_id"]


def test_second_call_makes_no_key(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    capsys.readouterr()
    assert main([]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "--new" in printed.err


def test_new_makes_another_in_the_same_workspace(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    first = json.loads(capsys.readouterr().out)
    assert main(["--new"]) == 0
    second = json.loads(capsys.readouterr().out)
    assert second["token"] != first["token"]
    assert second["workspace_id"] == first["workspace_id"]
