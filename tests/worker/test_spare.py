"""One child waits, loaded; when it is taken, used up or dead, there is another."""

from collections.abc import Iterator

import pytest

from tests.worker.jobs_on_digits import TIMEOUT_SECONDS, is_running, wait_until
from worker.child import Child, ChildSpawner
from worker.messages import Ready
from worker.spare import SpareFailed, SpareTrainer


@pytest.fixture
def own_spare(spawner: ChildSpawner) -> Iterator[SpareTrainer]:
    spare = SpareTrainer(spawner, device="cpu")
    yield spare
    spare.close()


def end(child: Child) -> None:
    child.kill()
    child.wait()


def never() -> bool:
    return False


def test_spare_is_started_once_and_handed_out_once(own_spare: SpareTrainer) -> None:
    own_spare.start()
    own_spare.start()
    first, second = own_spare.take(), own_spare.take()
    assert first.pid != second.pid
    end(first)
    end(second)


def test_spare_that_died_is_replaced(own_spare: SpareTrainer) -> None:
    own_spare.start()
    assert own_spare._idle is not None
    dead = own_spare._idle
    dead.kill()
    wait_until(lambda: not dead.is_alive())
    child = own_spare.take()
    assert child.pid != dead.pid
    assert child.receive(timeout_seconds=TIMEOUT_SECONDS) == Ready(device="cpu")
    assert dead._process.stdin.closed
    end(child)


def test_device_is_known_when_the_spare_has_loaded(own_spare: SpareTrainer) -> None:
    own_spare.start()
    ready = own_spare.wait_until_ready(timeout_seconds=TIMEOUT_SECONDS, should_stop=never)
    assert ready == Ready(device="cpu", num_gpus=0)


def test_worker_that_is_to_stop_waits_for_no_spare(own_spare: SpareTrainer) -> None:
    own_spare.start()
    assert own_spare.wait_until_ready(timeout_seconds=0.1, should_stop=lambda: True) is None


def test_device_that_is_not_there_is_told(spawner: ChildSpawner) -> None:
    spare = SpareTrainer(spawner, device="nonsense")
    spare.start()
    with pytest.raises(SpareFailed):
        spare.wait_until_ready(timeout_seconds=TIMEOUT_SECONDS, should_stop=never)
    spare.close()


def test_closed_spare_is_gone(own_spare: SpareTrainer) -> None:
    own_spare.start()
    assert own_spare._idle is not None
    pid = own_spare._idle.pid
    own_spare.close()
    assert not is_running(pid)
