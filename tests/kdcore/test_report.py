"""The networks of a report, in the order in which people read them."""

from kdcore.report import in_report_order, kind_of


def test_networks_stand_from_the_teachers_to_the_control() -> None:
    runs = ["control", "student", "network", "assistant_1", "teacher_10", "teacher_2", "teacher"]
    assert in_report_order(runs) == (
        "teacher",
        "teacher_2",
        "teacher_10",
        "assistant_1",
        "student",
        "control",
        "network",
    )


def test_kind_is_the_name_without_its_number() -> None:
    assert (kind_of("assistant_2"), kind_of("student")) == ("assistant", "student")
