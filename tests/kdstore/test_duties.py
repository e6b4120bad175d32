"""A duty is done by one worker at a time, and comes due again."""

import threading

from kdstore import duties
from kdstore.db import SessionFactory, transaction


def _take(session_factory: SessionFactory, *, every_seconds: float = 3600.0) -> bool:
    with transaction(session_factory) as session:
        return duties.take(session, "sweep", worker="w", every_seconds=every_seconds)


def test_duty_is_taken_once_until_it_is_due_again(session_factory: SessionFactory) -> None:
    assert _take(session_factory, every_seconds=0.0)
    assert _take(session_factory)
    assert not _take(session_factory)


def test_of_many_who_ask_at_once_one_gets_it(session_factory: SessionFactory) -> None:
    taken: list[bool] = []
    threads = [
        threading.Thread(target=lambda: taken.append(_take(session_factory))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [False] * 7 + [True]


def test_duties_are_taken_apart(session_factory: SessionFactory) -> None:
    assert _take(session_factory)
    with transaction(session_factory) as session:
        assert duties.take(session, "another", worker="w", every_seconds=60.0)
