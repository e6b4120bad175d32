"""What pages say of how a result was made."""

from recipes.pages.setting import setting
from tests.recipes.results import result_of, train_group


def test_setting_tells_command_date_device_scale_and_notes() -> None:
    result = result_of(train_group("alone", 0.5), recipe="zoo", scale="cpu")
    result = result.model_copy(update={"notes": ("Measured twice.", "On a Sunday.")})
    told, notes = setting(result)

    for part in ("a paper", "NAME=zoo", "2026-01-02", "a CPU", "`cpu`: as published"):
        assert part in told
    assert notes == "- Measured twice.\n- On a Sunday."


def test_nothing_is_listed_where_nothing_is_noted() -> None:
    assert len(setting(result_of(train_group("alone", 0.5)))) == 1
