"""The page of all methods."""

from kdcore.spec import LogitKd, LogitMatching
from recipes.pages.zoo import zoo_page
from recipes.result import Failure
from tests.recipes.results import distill_group, result_of, train_group

RESULT = result_of(
    train_group("teacher", 0.95),
    train_group("alone", 0.80, 0.82),
    distill_group("student", {"method": "logit_kd"}, LogitKd(), 0.90, 0.92),
    distill_group("student", {"method": "logit_matching"}, LogitMatching(), 0.70, 0.72),
)


def test_methods_are_sorted_with_the_net_alone_among_them() -> None:
    lines = [line for line in zoo_page([RESULT]).splitlines() if line.startswith("| ")]

    assert [line.split("|")[1].strip().partition("]")[0] for line in lines[2:]] == [
        "[`logit_kd`",
        "no teacher",
        "[`logit_matching`",
    ]
    assert "91.00 % (90.00 to 92.00) | 2 | +10.00 points | 12 |" in lines[2]
    assert lines[3].endswith("| 81.00 % (80.00 to 82.00) | 2 | – | 12 |")


def test_page_tells_setting_paper_and_failures() -> None:
    page = zoo_page([RESULT])

    assert "The teacher is right on 95.00 %." in page
    assert "seeds 0, 1" in page
    assert "https://arxiv.org/abs/1503.02531" in page
    assert "- `student.method-x`: It diverged." in page


def test_runs_still_to_be_done_are_counted_beside_those_that_failed() -> None:
    left = tuple(Failure(job=f"student.{n}", code="not_run", message="Not run.") for n in "ab")
    page = zoo_page([RESULT.model_copy(update={"failures": (*RESULT.failures, *left)})])

    assert "- `student.method-x`: It diverged." in page
    assert "2 of the planned runs are still to be done." in page
    assert "student.a" not in page
