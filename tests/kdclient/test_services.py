"""Services on a data folder: one at a time, and a failed start says which part failed."""

import os
from pathlib import Path

import pytest

from kdclient.errors import ServiceDied, ServiceFailure
from kdclient.services import Services, is_in_use


def test_folder_without_services_is_not_in_use(tmp_path: Path) -> None:
    assert not is_in_use(tmp_path)
    (tmp_path / "up.lock").touch()
    assert not is_in_use(tmp_path)


def test_settings_that_are_wrong_stop_the_start_and_are_shown(tmp_path: Path) -> None:
    environment = os.environ | {"POTSTILL_LEASE_SECONDS": "1"}
    with (
        Services(tmp_path, environment=environment) as services,
        pytest.raises(ServiceDied, match="migrate ended with exit code 1") as caught,
    ):
        services.start()
    assert "POTSTILL_LEASE_SECONDS" in caught.value.log_tail
    assert not is_in_use(tmp_path)


def test_second_start_on_a_folder_is_refused(tmp_path: Path) -> None:
    environment = os.environ | {"POTSTILL_LEASE_SECONDS": "1"}
    with Services(tmp_path, environment=environment) as first:
        with pytest.raises(ServiceDied):
            first.start()
        assert is_in_use(tmp_path)
        with (
            Services(tmp_path, environment=environment) as second,
            pytest.raises(ServiceFailure, match="Another `potstill up` runs"),
        ):
            second.start()
    assert not is_in_use(tmp_path)
