"""Where address and key come from, and that a key goes nowhere but to its own address."""

import stat
from pathlib import Path

import pytest

from kdclient.errors import SettingsMissing
from kdclient.settings import (
    Connection,
    Given,
    data_dir_from,
    find_connection,
    read_connection,
    write_connection,
)

SAVED = Connection(url="http://127.0.0.1:8000", api_key="saved-key")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Of somebody in whose data folder `potstill up` has run."""
    write_connection(tmp_path, SAVED)
    return {"POTSTILL_DATA_DIR": str(tmp_path)}


def test_what_up_wrote_is_enough(environment: dict[str, str]) -> None:
    assert find_connection(Given(), environment=environment) == SAVED


def test_environment_wins_over_the_file(environment: dict[str, str]) -> None:
    environment |= {"POTSTILL_URL": "http://other", "POTSTILL_API_KEY": "other-key"}
    found = find_connection(Given(), environment=environment)
    assert found == Connection(url="http://other", api_key="other-key")


def test_flags_win_over_the_environment(environment: dict[str, str]) -> None:
    environment |= {"POTSTILL_URL": "http://other", "POTSTILL_API_KEY": "other-key"}
    found = find_connection(Given(url="http://flag", api_key="flag-key"), environment=environment)
    assert found == Connection(url="http://flag", api_key="flag-key")


def test_saved_key_is_not_sent_to_another_address(environment: dict[str, str]) -> None:
    with pytest.raises(SettingsMissing, match="key for http://other"):
        find_connection(Given(url="http://other"), environment=environment)


def test_saved_key_serves_its_address_however_it_was_given(environment: dict[str, str]) -> None:
    found = find_connection(Given(url="http://127.0.0.1:8000/"), environment=environment)
    assert found.api_key == "saved-key"


def test_nothing_known_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsMissing, match="Run `potstill up`"):
        find_connection(Given(), environment={"POTSTILL_DATA_DIR": str(tmp_path)})


def test_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = write_connection(tmp_path, SAVED)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    assert stat.S_IMODE(write_connection(tmp_path, SAVED).stat().st_mode) == 0o600


def test_broken_file_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / "client.json").write_text("{")
    assert read_connection(tmp_path) is None


def test_key_is_not_in_the_text_of_a_connection() -> None:
    assert "saved-key" not in f"{SAVED} {SAVED!r}"


def test_data_folder_is_in_the_working_directory_unless_said_otherwise() -> None:
    assert data_dir_from({}) == Path("potstill-data")
