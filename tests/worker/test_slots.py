"""A lane takes no message while its slot is taken."""

import threading

import pytest

from worker.slots import Slot


def wait_in_thread(
    slot: Slot, stopping: threading.Event, *, start_seconds: float
) -> threading.Thread:
    def wait() -> None:
        slot.wait_out(stopping, start_seconds=start_seconds)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_waits_for_the_task_that_a_message_started() -> None:
    slot, stopping, end = Slot(), threading.Event(), threading.Event()

    def task() -> None:
        with slot.taken():
            end.wait()

    running = threading.Thread(target=task)
    running.start()
    waiting = wait_in_thread(slot, stopping, start_seconds=60.0)
    waiting.join(0.3)
    assert waiting.is_alive()
    end.set()
    waiting.join()
    running.join()


def test_message_that_starts_no_task_does_not_block_the_lane() -> None:
    slot = Slot()
    waiting = wait_in_thread(slot, threading.Event(), start_seconds=0.01)
    waiting.join(10.0)
    assert not waiting.is_alive()


def test_stopping_lane_waits_no_longer() -> None:
    slot, stopping = Slot(), threading.Event()
    with slot.taken():
        stopping.set()
        waiting = wait_in_thread(slot, stopping, start_seconds=60.0)
        waiting.join(10.0)
        assert not waiting.is_alive()


def test_slot_is_free_again_after_a_task_that_failed() -> None:
    slot = Slot()
    with pytest.raises(ZeroDivisionError), slot.taken():
        raise ZeroDivisionError
    wait_in_thread(slot, threading.Event(), start_seconds=60.0).join(10.0)


def test_second_task_waits_for_the_first() -> None:
    slot, order = Slot(), list[str]()

    def second() -> None:
        with slot.taken():
            order.append("second")

    thread = threading.Thread(target=second)
    with slot.taken():
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_taken_slot_cannot_be_taken_without_waiting() -> None:
    slot = Slot()
    with slot.try_taken() as is_ours:
        assert is_ours
        assert slot.is_taken
        with slot.try_taken() as is_ours_too:
            assert not is_ours_too
        assert slot.is_taken
    assert not slot.is_taken
