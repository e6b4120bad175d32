"""How a report's tables and pictures name classes."""

from kdcore.export.class_names import class_name, shortened


def test_class_without_a_name_is_called_by_its_number() -> None:
    assert class_name((), 3) == "3"
    assert class_name(("a", "b"), 1) == "b"


def test_long_names_end_in_an_ellipsis() -> None:
    assert shortened("abcdef", 4) == "abc…"
    assert shortened("abcd", 4) == "abcd"
