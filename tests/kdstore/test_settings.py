"""One class reads the environment, .env.example documents all of it, and secrets stay secret."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from kdstore.settings import Settings

EXAMPLE = Path(__file__).parents[2] / ".env.example"
VARIABLE = re.compile(r"^# (POTSTILL_\w+)=(.*)$", re.MULTILINE)


def test_example_documents_every_setting_once_with_its_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    documented = VARIABLE.findall(EXAMPLE.read_text())
    expected = sorted(f"POTSTILL_{name.upper()}" for name in Settings.model_fields)
    assert sorted(name for name, _ in documented) == expected
    defaults = Settings()
    for name, value in documented:
        monkeypatch.setenv(name, value)
    assert Settings() == defaults


def test_every_setting_says_what_it_is_for() -> None:
    undocumented = [name for name, field in Settings.model_fields.items() if not field.description]
    assert undocumented == []


def test_defaults_keep_everything_under_one_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("POTSTILL_DATA_DIR", str(tmp_path))
    settings = Settings()
    assert settings.database == f"sqlite:///{tmp_path}/potstill.sqlite3"
    assert settings.broker == f"filesystem://{tmp_path}/queue"
    assert settings.objects == f"file://{tmp_path}/objects"
    assert settings.address == "http://127.0.0.1:8000"


def test_urls_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POTSTILL_DATABASE_URL", "postgresql+psycopg://u:hunter2@db/potstill")
    monkeypatch.setenv("POTSTILL_BROKER_URL", "redis://:hunter2@queue:6379/0")
    monkeypatch.setenv("POTSTILL_OBJECTS_URL", "s3://bucket")
    monkeypatch.setenv("POTSTILL_PUBLIC_URL", "https://potstill.example.org/")
    settings = Settings()
    assert settings.database == "postgresql+psycopg://u:hunter2@db/potstill"
    assert settings.broker == "redis://:hunter2@queue:6379/0"
    assert settings.objects == "s3://bucket"
    assert settings.address == "https://potstill.example.org"


def test_passwords_do_not_show() -> None:
    settings = Settings(
        database_url=SecretStr("postgresql+psycopg://u:hunter2@db/potstill"),
        broker_url=SecretStr("redis://:hunter2@queue:6379/0"),
        objects_url=SecretStr("s3://key:hunter2@bucket"),
    )
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(settings)
    assert "hunter2" not in settings.model_dump_json()


def test_lease_shorter_than_two_heartbeats_is_refused() -> None:
    with pytest.raises(ValidationError, match="POTSTILL_LEASE_SECONDS"):
        Settings(lease_seconds=9, heartbeat_seconds=5)


def test_settings_do_not_change_once_they_are_read() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 9000  # type: ignore[misc]  # that it is refused is the test
