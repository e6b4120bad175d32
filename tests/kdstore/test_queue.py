"""Messages carry one id, wait in their queue, and a broken broker is a typed error."""

import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from deploy.servers import RedisServer
from kdstore import queue
from kdstore.errors import QueueUnavailable
from kdstore.settings import Settings


@pytest.fixture
def embedded(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


def _take(app: object, queue_name: str) -> tuple[str, list[str]] | None:
    """Take one message as a worker would, and acknowledge it."""
    with app.connection_for_read() as connection:  # type: ignore[attr-defined]  # Celery is untyped
        simple = connection.SimpleQueue(queue_name)
        try:
            message = simple.get(block=True, timeout=2)
        except simple.Empty:
            return None
        finally:
            simple.close()
        message.ack()
        arguments: list[str] = message.payload[0]
        return message.headers["task"], arguments


@pytest.mark.parametrize(
    ("task", "queue_name"),
    [
        (queue.TRAIN_JOB, queue.TRAINING_QUEUE),
        (queue.VALIDATE_MODEL, queue.INGEST_QUEUE),
        (queue.VALIDATE_DATASET, queue.INGEST_QUEUE),
    ],
)
def test_message_is_a_task_and_an_id_in_its_queue(
    task: str, queue_name: str, embedded: Settings
) -> None:
    sender, taker = queue.make_celery(embedded), queue.make_celery(embedded)
    queue.publish(sender, task, "some_id")
    assert _take(taker, queue_name) == (task, ["some_id"])


def test_messages_come_in_the_order_they_were_sent(embedded: Settings) -> None:
    app = queue.make_celery(embedded)
    for number in range(3):
        queue.publish(app, queue.TRAIN_JOB, f"job_{number}")
        time.sleep(0.002)  # the folder broker orders by the millisecond
    taken = [_take(app, queue.TRAINING_QUEUE) for _ in range(3)]
    assert [message[1] for message in taken if message] == [["job_0"], ["job_1"], ["job_2"]]


def test_embedded_broker_keeps_its_messages_under_the_data_folder(embedded: Settings) -> None:
    queue.publish(queue.make_celery(embedded), queue.TRAIN_JOB, "job_1")
    (message,) = (embedded.data_dir / "queue" / "messages").iterdir()
    assert message.name.endswith(".training.msg")


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "amqp://u:hunter2@127.0.0.1:1//"])
def test_broker_that_is_down_is_a_typed_error_without_its_password(
    url: str, embedded: Settings
) -> None:
    settings = embedded.model_copy(update={"broker_url": SecretStr(url)})
    with pytest.raises(QueueUnavailable) as raised:
        queue.publish(queue.make_celery(settings), queue.TRAIN_JOB, "job_1")
    assert (raised.value.task, raised.value.subject_id) == (queue.TRAIN_JOB, "job_1")
    assert "hunter2" not in raised.value.message


def test_folder_that_cannot_be_written_is_a_typed_error(embedded: Settings) -> None:
    app = queue.make_celery(embedded)
    messages = embedded.data_dir / "queue" / "messages"
    messages.rmdir()
    messages.write_text("a file where the folder must be")
    with pytest.raises(QueueUnavailable):
        queue.publish(app, queue.TRAIN_JOB, "job_1")


def test_both_sides_take_json_only_and_acknowledge_early(embedded: Settings) -> None:
    conf = queue.make_celery(embedded).conf
    assert list(conf.accept_content) == ["json"]
    assert (conf.task_serializer, conf.task_acks_late, conf.task_ignore_result) == (
        "json",
        False,
        True,
    )


def test_publisher_outlives_a_broker_that_comes_back_empty(
    redis_server: RedisServer, embedded: Settings
) -> None:
    settings = embedded.model_copy(update={"broker_url": SecretStr(redis_server.url)})
    app = queue.make_celery(settings)
    queue.publish(app, queue.TRAIN_JOB, "job_lost")
    redis_server.kill()
    redis_server.wipe()
    with pytest.raises(QueueUnavailable):
        queue.publish(app, queue.TRAIN_JOB, "job_refused")
    redis_server.start()
    queue.publish(app, queue.TRAIN_JOB, "job_after")
    assert _take(app, queue.TRAINING_QUEUE) == (queue.TRAIN_JOB, ["job_after"])


def test_frozen_broker_is_not_waited_for(redis_server: RedisServer, embedded: Settings) -> None:
    settings = embedded.model_copy(update={"broker_url": SecretStr(redis_server.url)})
    app = queue.make_celery(settings)
    queue.publish(app, queue.TRAIN_JOB, "job_1")
    redis_server.freeze()
    with pytest.raises(QueueUnavailable):
        queue.publish(app, queue.TRAIN_JOB, "job_2")


def test_rabbitmq_is_chosen_by_url_alone(embedded: Settings) -> None:
    url = "amqps://potstill:secret@rabbit.example.org:5671/potstill"
    app = queue.make_celery(embedded.model_copy(update={"broker_url": SecretStr(url)}))
    with app.connection_for_write() as connection:
        assert connection.transport_cls == "amqps"
        assert connection.transport.driver_name == "py-amqp"
        assert (connection.hostname, connection.port) == ("rabbit.example.org", 5671)
        assert connection.virtual_host == "potstill"
        assert "secret" not in connection.as_uri()
    assert "socket_timeout" not in app.conf.broker_transport_options
    assert not app.conf.task_acks_late
