"""Lanes take messages again after Redis was stopped, killed, frozen, or came back empty."""

from collections.abc import Callable

import pytest
from pydantic import SecretStr

from deploy.servers import RedisServer
from kdstore.errors import QueueUnavailable
from kdstore.queue import TRAIN_JOB, TRAINING_QUEUE, make_celery, publish
from tests.worker.jobs_on_digits import LONG_JOB, JobBook, Trained, small_job, wait_until
from tests.worker.test_app import StartLanes, start_lanes, waiting
from worker.runtime import Runtime

__all__ = ["start_lanes"]


@pytest.fixture
def runtime(make_runtime: Callable[..., Runtime], redis_server: RedisServer) -> Runtime:
    return make_runtime(broker_url=SecretStr(redis_server.url))


def _stop(server: RedisServer) -> None:
    server.stop()


def _kill(server: RedisServer) -> None:
    server.kill()


def _wipe(server: RedisServer) -> None:
    server.kill()
    server.wipe()


@pytest.mark.parametrize("end", [_stop, _kill, _wipe])
def test_lane_takes_messages_again_after_the_broker_was_away(
    runtime: Runtime,
    start_lanes: StartLanes,
    redis_server: RedisServer,
    end: Callable[[RedisServer], None],
) -> None:
    start_lanes(runtime)
    sender = make_celery(runtime.settings)
    publish(sender, TRAIN_JOB, "job_unknown")
    wait_until(lambda: waiting(runtime, TRAINING_QUEUE) == 0)
    end(redis_server)
    with pytest.raises(QueueUnavailable):
        publish(sender, TRAIN_JOB, "job_unknown")
    redis_server.start()
    publish(sender, TRAIN_JOB, "job_unknown")
    wait_until(lambda: waiting(runtime, TRAINING_QUEUE) == 0)


@pytest.mark.faults
@pytest.mark.parametrize("end", [_stop, _kill, _wipe])
def test_job_that_trains_while_the_broker_is_away_is_not_disturbed_and_the_next_one_follows(
    runtime: Runtime,
    start_lanes: StartLanes,
    book: JobBook,
    redis_server: RedisServer,
    undisturbed: Trained,
    end: Callable[[RedisServer], None],
) -> None:
    start_lanes(runtime)
    sender = make_celery(runtime.settings)
    during, after = book.create(LONG_JOB), book.create(small_job())
    publish(sender, TRAIN_JOB, during)
    wait_until(lambda: len(book.series(during)) > 0)
    end(redis_server)
    wait_until(lambda: book.read(during).status == "succeeded")
    assert book.exit_causes(during) == ["finished"]
    assert book.trained(during) == undisturbed
    redis_server.start()
    publish(sender, TRAIN_JOB, after)
    wait_until(lambda: book.read(after).status == "succeeded")
