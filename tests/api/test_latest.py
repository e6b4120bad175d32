"""A question that hangs is asked once, however many want the answer."""

import threading

import pytest

from api.latest import Latest

SECONDS = 10.0


def test_answer_is_kept_for_a_while_and_then_asked_for_again() -> None:
    asked: list[int] = []

    def count() -> int:
        asked.append(1)
        return len(asked)

    latest = Latest(count)
    assert latest.ask(max_age_seconds=60).result(SECONDS) == 1
    assert latest.ask(max_age_seconds=60).result(SECONDS) == 1
    assert latest.ask(max_age_seconds=0).result(SECONDS) == 2


def test_question_that_hangs_is_not_asked_again_meanwhile() -> None:
    may_end = threading.Event()
    asked: list[int] = []

    def hang() -> None:
        asked.append(1)
        may_end.wait(SECONDS)

    latest = Latest(hang)
    answers = [latest.ask(max_age_seconds=0) for _ in range(5)]
    may_end.set()
    for answer in answers:
        answer.result(SECONDS)
    assert len(asked) == 1


def test_what_the_question_raises_is_raised_to_whoever_waits() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Latest(fail).ask(max_age_seconds=0).result(SECONDS)
