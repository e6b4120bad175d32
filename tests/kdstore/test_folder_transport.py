"""The embedded broker loses, doubles and breaks no message while others read and write it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kdstore import queue
from kdstore.settings import Settings

NUM_MESSAGES = 200


@pytest.fixture
def embedded(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


@contextmanager
def reading(settings: Settings) -> Iterator[Any]:
    with queue.make_celery(settings).connection_for_read() as connection:
        simple = connection.SimpleQueue(queue.TRAINING_QUEUE)
        try:
            yield simple
        finally:
            simple.close()


def take_all(settings: Settings, taken: list[str], until: threading.Event) -> None:
    with reading(settings) as simple:
        while True:
            was_last = until.is_set()
            try:
                message = simple.get(block=False)
            except simple.Empty:
                if was_last:
                    return
                continue
            message.ack()
            taken.append(message.payload[0][0])


def test_every_message_is_taken_once_by_readers_that_race_the_writer(embedded: Settings) -> None:
    all_sent = threading.Event()
    taken: list[list[str]] = [[], []]
    readers = [threading.Thread(target=take_all, args=(embedded, mine, all_sent)) for mine in taken]
    for reader in readers:
        reader.start()
    app = queue.make_celery(embedded)
    for number in range(NUM_MESSAGES):
        queue.publish(app, queue.TRAIN_JOB, f"job_{number}")
    all_sent.set()
    for reader in readers:
        reader.join()
    assert sorted([*taken[0], *taken[1]]) == sorted(f"job_{n}" for n in range(NUM_MESSAGES))


def test_messages_sent_at_once_come_in_their_order(embedded: Settings) -> None:
    app = queue.make_celery(embedded)
    for number in range(20):
        queue.publish(app, queue.TRAIN_JOB, f"job_{number}")
    taken: list[str] = []
    all_sent = threading.Event()
    all_sent.set()
    take_all(embedded, taken, all_sent)
    assert taken == [f"job_{number}" for number in range(20)]


def test_taken_messages_leave_nothing_behind(embedded: Settings) -> None:
    queue.publish(queue.make_celery(embedded), queue.TRAIN_JOB, "job_1")
    all_sent = threading.Event()
    all_sent.set()
    take_all(embedded, [], all_sent)
    assert list((embedded.data_dir / "queue" / "messages").iterdir()) == []
