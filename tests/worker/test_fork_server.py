"""The fork server: one thread, no credentials, nothing computed; its children like any other."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.jobs_on_digits import (
    TIMEOUT_SECONDS,
    children_of,
    is_running,
    parent_of,
    small_job,
    state_of,
    wait_until,
)
from worker.child import Child, ChildGone, ChildSpawner, child_environment
from worker.forking import ForkRefused, ForkServer
from worker.messages import Finished, Message, Ready, TrainOrder

# Each process of the tests that runs one of these loads torch for it.
pytestmark = pytest.mark.xdist_group("fork_server")


@pytest.fixture(scope="module")
def own_spawner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChildSpawner]:
    """A spawner whose server may be killed, of a worker that has a credential."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POTSTILL_DATABASE_URL", "postgresql://u:hunter2@db/potstill")
        spawner = ChildSpawner(num_threads=2, folder=tmp_path_factory.mktemp("forked"))
        yield spawner
        spawner.close()


@pytest.fixture
def forked(own_spawner: ChildSpawner) -> Iterator[Child]:
    child = own_spawner.spawn("worker.trainer_process", "--device", "cpu")
    yield child
    child.kill()
    child.wait()


def last_word(child: Child) -> Message:
    last: Message | None = None
    while True:
        try:
            last = child.receive(timeout_seconds=TIMEOUT_SECONDS) or last
        except ChildGone:
            assert last is not None
            return last


class TestServer:
    def test_is_one_thread_whatever_it_has_loaded(self, forked: Child) -> None:
        assert len(list(Path(f"/proc/{parent_of(forked.pid)}/task").iterdir())) == 1
        assert forked.receive(timeout_seconds=TIMEOUT_SECONDS) == Ready(device="cpu")

    def test_has_no_credential_and_neither_has_its_child(self, forked: Child) -> None:
        for pid in (parent_of(forked.pid), forked.pid):
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            assert b"OMP_NUM_THREADS=2" in environment
            assert b"hunter2" not in environment

    def test_serves_one_child_after_the_other(
        self, forked: Child, own_spawner: ChildSpawner
    ) -> None:
        other = own_spawner.spawn("worker.trainer_process", "--device", "cpu")
        assert parent_of(other.pid) == parent_of(forked.pid)
        assert other.pid != forked.pid
        other.kill()
        assert other.wait() == -signal.SIGKILL
        assert forked.is_alive()

    def test_that_was_killed_takes_its_children_along_and_is_replaced(
        self, forked: Child, own_spawner: ChildSpawner
    ) -> None:
        server = parent_of(forked.pid)
        os.kill(server, signal.SIGKILL)
        assert forked.wait() == -signal.SIGKILL
        assert not is_running(forked.pid)
        other = own_spawner.spawn("worker.trainer_process", "--device", "cpu")
        assert parent_of(other.pid) != server
        assert other.receive(timeout_seconds=TIMEOUT_SECONDS) == Ready(device="cpu")
        other.kill()
        other.wait()

    def test_that_is_frozen_does_not_keep_the_worker_from_seeing_a_child_end(
        self, forked: Child
    ) -> None:
        server = parent_of(forked.pid)
        os.kill(server, signal.SIGSTOP)
        forked.kill()
        assert forked.wait() == -signal.SIGKILL
        os.kill(server, signal.SIGCONT)
        wait_until(lambda: forked.pid not in children_of(server))

    def test_refuses_to_fork_where_a_library_has_started_threads(self, tmp_path: Path) -> None:
        environment = child_environment(os.environ, num_threads=2, temporary_folder=tmp_path)
        server = ForkServer(
            environment={**environment, "OPENBLAS_NUM_THREADS": "2"}, folder=tmp_path
        )
        with pytest.raises(ForkRefused, match="2 threads"):
            server.fork(["--device", "cpu"])
        server.close()
        assert not is_running(server.pid)

    def test_refuses_to_fork_with_a_device_open(self) -> None:
        text = (
            "from worker.fork_server import obstacle\n"
            "assert obstacle() is None\n"
            "with open('/dev/full', 'wb'):\n"
            "    print(obstacle(devices=('/dev/full',)))"
        )
        ended = subprocess.run(
            [sys.executable, "-c", text], capture_output=True, text=True, check=True
        )
        assert "/dev/full" in ended.stdout


class TestChild:
    def test_holds_no_end_of_what_is_the_servers(
        self, forked: Child, own_spawner: ChildSpawner
    ) -> None:
        other = own_spawner.spawn("worker.trainer_process", "--device", "cpu")
        other.receive(timeout_seconds=TIMEOUT_SECONDS)
        opened = [str(each.readlink()) for each in Path(f"/proc/{other.pid}/fd").iterdir()]
        assert not [name for name in opened if name.startswith(("socket:", "anon_inode:"))]
        other.kill()
        other.wait()

    def test_keeps_its_id_until_it_is_waited_for(self, forked: Child) -> None:
        os.kill(forked.pid, signal.SIGKILL)
        wait_until(lambda: state_of(forked.pid) == "Z")
        server = parent_of(forked.pid)
        assert forked.pid in children_of(server)
        assert forked.wait() == -signal.SIGKILL
        wait_until(lambda: forked.pid not in children_of(server))

    def test_that_fails_says_why_in_the_operators_log(
        self, own_spawner: ChildSpawner, caplog: pytest.LogCaptureFixture
    ) -> None:
        child = own_spawner.spawn("worker.trainer_process", "--device", "nonsense")
        assert child.wait() == 1
        assert any("nonsense" in vars(record).get("detail", "") for record in caplog.records)

    def test_makes_the_bits_that_an_executed_one_makes(
        self, forked: Child, digits_folder: Path, tmp_path: Path
    ) -> None:
        executing = ChildSpawner(num_threads=2, folder=tmp_path, can_fork=False)
        executed = executing.spawn("worker.trainer_process", "--device", "cpu")
        assert parent_of(executed.pid) == os.getpid()
        weights = [
            weights_made_by(child, digits_folder, tmp_path / name)
            for child, name in ((forked, "forked"), (executed, "executed"))
        ]
        executed.wait()
        executing.close()
        assert weights[0] == weights[1]


def weights_made_by(child: Child, dataset: Path, folder: Path) -> bytes:
    child.order(
        TrainOrder(
            spec=small_job(num_epochs=5),
            dataset=dataset,
            teachers=(),
            folder=folder,
            device="cpu",
            num_threads=2,
            checkpoint_seconds=3600.0,
            job_id="job_1",
            attempts=(),
        )
    )
    last = last_word(child)
    assert isinstance(last, Finished)
    (weights,) = (file for file in last.artifacts if file.name == "network.safetensors")
    return weights.path.read_bytes()
