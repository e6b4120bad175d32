"""A child gets nothing of the worker's but its order, and never outlives it."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.worker.jobs_on_digits import TIMEOUT_SECONDS, is_running, wait_until
from worker.child import Child, ChildGone, ChildSpawner, child_environment
from worker.messages import Message, Ready, Stopped
from worker.processes import ExecutedProcess

READY = '{"type": "ready", "device": "cpu"}'
RunScript = Callable[[str], Child]


@pytest.fixture
def run_script() -> Iterator[RunScript]:
    """Call it with Python text to get it as a child; `fd` is where its messages go."""
    children: list[Child] = []

    def run(text: str) -> Child:
        reading, writing = os.pipe()
        process = subprocess.Popen(
            [sys.executable, "-c", f"import os, sys, time\nfd = {writing}\n{text}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(writing,),
            start_new_session=True,
        )
        os.close(writing)
        children.append(Child(ExecutedProcess(process), reading))
        return children[-1]

    yield run
    for child in children:
        child.kill()
        child.wait()


def receive_all(child: Child) -> list[Message]:
    messages: list[Message] = []
    while True:
        try:
            message = child.receive(timeout_seconds=TIMEOUT_SECONDS)
        except ChildGone:
            return messages
        assert message is not None
        messages.append(message)


class TestEnvironment:
    def test_holds_no_credential_and_no_home(self, tmp_path: Path) -> None:
        own = {
            "PATH": "/bin",
            "HOME": "/home/somebody",
            "POTSTILL_DATABASE_URL": "postgresql://u:hunter2@db/potstill",
            "AWS_SECRET_ACCESS_KEY": "hunter2",
            "PYTHONPATH": "/somewhere",
        }
        made = child_environment(own, num_threads=3, temporary_folder=tmp_path)
        assert made["PATH"] == "/bin"
        assert made["OMP_NUM_THREADS"] == "3"
        assert not {"HOME", "AWS_SECRET_ACCESS_KEY", "PYTHONPATH"} & set(made)
        assert "hunter2" not in str(made)

    def test_keeps_the_choice_of_gpu_and_an_operators_spin_count(self, tmp_path: Path) -> None:
        own = {"CUDA_VISIBLE_DEVICES": "1", "GOMP_SPINCOUNT": "7"}
        made = child_environment(own, num_threads=1, temporary_folder=tmp_path)
        assert (made["CUDA_VISIBLE_DEVICES"], made["GOMP_SPINCOUNT"]) == ("1", "7")


class TestMessages:
    def test_come_in_order_then_the_end(self, run_script: RunScript) -> None:
        child = run_script(f"""os.write(fd, b'{READY}\\n{{"type": "stopped", "step": 3}}\\n')""")
        assert receive_all(child) == [Ready(device="cpu"), Stopped(step=3)]
        with pytest.raises(ChildGone):
            child.receive(timeout_seconds=0.0)
        assert child.wait() == 0

    def test_none_when_there_is_none_in_time(self, run_script: RunScript) -> None:
        child = run_script("time.sleep(600)")
        assert child.receive(timeout_seconds=0.01) is None

    @pytest.mark.parametrize("line", ["no json", '{"type": "unknown"}', '{"type": "ready"}'])
    def test_child_that_speaks_otherwise_is_killed(self, line: str, run_script: RunScript) -> None:
        child = run_script(f"os.write(fd, b'{line}\\n'); time.sleep(600)")
        assert receive_all(child) == []
        assert child.wait() == -signal.SIGKILL
        assert not child.was_killed

    def test_half_a_message_of_a_dying_child_is_no_message(self, run_script: RunScript) -> None:
        child = run_script(f"os.write(fd, b'{READY}\\n{READY[:9]}')")
        assert receive_all(child) == [Ready(device="cpu")]

    def test_order_arrives_as_one_line(self, run_script: RunScript) -> None:
        child = run_script("os.write(fd, sys.stdin.readline().encode())")
        child.order(Ready(device="cuda:1"))
        assert receive_all(child) == [Ready(device="cuda:1")]

    def test_order_to_a_child_that_is_gone_is_no_error(self, run_script: RunScript) -> None:
        child = run_script("")
        assert receive_all(child) == []
        wait_until(lambda: not child.is_alive())
        child.order(Ready(device="cpu"))


class TestOutput:
    def test_goes_to_the_operators_log(
        self, run_script: RunScript, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING, logger="worker.output"):
            run_script("print('Traceback of something')").wait()
        assert [vars(record)["detail"] for record in caplog.records] == ["Traceback of something"]

    def test_flood_is_read_to_the_end_and_logged_in_part(
        self, run_script: RunScript, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING, logger="worker.output"):
            status = run_script("[print('x' * 5000) for _ in range(2000)]").wait()
        assert status == 0
        assert len(caplog.records) <= 200
        assert all(len(vars(record)["detail"]) <= 2000 for record in caplog.records)


class TestEnd:
    def test_killed_child_takes_what_it_started_with_it(self, run_script: RunScript) -> None:
        child = run_script(
            "import subprocess\n"
            "sub = subprocess.Popen(['sleep', '600'])\n"
            """os.write(fd, b'{"type": "stopped", "step": %d}\\n' % sub.pid); time.sleep(600)"""
        )
        message = child.receive(timeout_seconds=TIMEOUT_SECONDS)
        assert isinstance(message, Stopped)
        child.kill()
        assert child.wait() == -signal.SIGKILL
        assert child.was_killed
        wait_until(lambda: not is_running(message.step))

    def test_signals_to_an_ended_child_reach_nobody(self, run_script: RunScript) -> None:
        child = run_script("")
        assert child.wait() == 0
        child.terminate()
        child.kill()
        assert not child.is_alive()

    def test_trainer_ends_when_the_worker_lets_go_of_it(self, spawner: ChildSpawner) -> None:
        child = spawner.spawn("worker.trainer_process", "--device", "cpu")
        assert child.receive(timeout_seconds=TIMEOUT_SECONDS) == Ready(device="cpu")
        child._process.stdin.close()
        assert child.wait() != 0

    def test_trainer_ends_when_the_worker_is_killed(self, tmp_path: Path) -> None:
        text = (
            "import time; from pathlib import Path\n"
            "from worker.child import ChildSpawner\n"
            f"spawner = ChildSpawner(num_threads=1, folder=Path({str(tmp_path)!r}))\n"
            "child = spawner.spawn('worker.trainer_process', '--device', 'cpu')\n"
            "child.receive(timeout_seconds=60)\n"
            "print(child.pid, flush=True); time.sleep(600)"
        )
        parent = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE)
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
        parent.stdout.close()
        wait_until(lambda: not is_running(pid))
