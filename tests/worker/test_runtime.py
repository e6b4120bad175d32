"""The postbox sends at once, but not to a worker that is about to stop."""

from kdstore.errors import QueueUnavailable
from kdstore.queue import TRAIN_JOB, VALIDATE_MODEL
from tests.worker.worker_in_process import Outbox
from worker.runtime import Postbox


def test_message_is_sent_at_once() -> None:
    outbox = Outbox()
    Postbox(outbox).post(TRAIN_JOB, "job_1")
    assert outbox.sent == [(TRAIN_JOB, "job_1")]


def test_held_messages_are_delivered_once_each_in_order() -> None:
    outbox = Outbox()
    postbox = Postbox(outbox)
    postbox.hold()
    for task, subject_id in (
        (TRAIN_JOB, "job_1"),
        (VALIDATE_MODEL, "mdl_1"),
        (TRAIN_JOB, "job_1"),
    ):
        postbox.post(task, subject_id)
    assert outbox.sent == []
    postbox.deliver()
    assert outbox.sent == [(TRAIN_JOB, "job_1"), (VALIDATE_MODEL, "mdl_1")]


def test_broker_that_is_away_is_left_to_the_sweeper() -> None:
    def refuse(task: str, subject_id: str, _queue: str | None) -> None:
        raise QueueUnavailable(task, subject_id)

    Postbox(refuse).post(TRAIN_JOB, "job_1")
