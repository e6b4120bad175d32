"""One worker of a machine at a time, and no dead or frozen one keeps the others waiting."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from worker.file_locks import file_lock
from worker.stopping import WorkStopped

HOLDER = (
    "import sys, time\n"
    "from pathlib import Path\n"
    "from worker.file_locks import file_lock\n"
    "with file_lock(Path(sys.argv[1]), patience_seconds=60.0):\n"
    "    print('held', flush=True)\n"
    "    time.sleep(600)\n"
)


def test_lock_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    inside = 0

    def work(_number: int) -> int:
        nonlocal inside
        with file_lock(tmp_path / "locks" / "one", patience_seconds=60.0) as is_held:
            assert is_held
            inside += 1
            seen = inside
            time.sleep(0.01)
            inside -= 1
            return seen

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(work, range(24))) == {1}
    assert list((tmp_path / "locks").iterdir()) == []


def test_lock_of_a_process_that_was_killed_is_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    with holder, holder.stdout:
        assert holder.stdout.readline() == b"held\n"
        holder.kill()
        holder.wait()
    with file_lock(path, patience_seconds=600.0) as is_held:
        assert is_held
    assert not path.exists()


def test_holder_that_writes_nothing_is_waited_for_no_longer(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with file_lock(path, grows=tmp_path / "file", patience_seconds=60.0) as is_held:
        assert is_held
        with file_lock(path, patience_seconds=0.2) as is_held_too:
            assert not is_held_too
        assert path.exists()  # it is not the second one's to remove


def test_waiting_ends_when_the_work_must_stop(tmp_path: Path) -> None:
    def stop() -> None:
        raise WorkStopped

    path = tmp_path / "lock"
    with file_lock(path, patience_seconds=600.0):
        with pytest.raises(WorkStopped), file_lock(path, patience_seconds=600.0, check=stop):
            pass
        assert path.exists()


def test_holder_whose_file_grows_is_waited_for(tmp_path: Path) -> None:
    path, written = tmp_path / "lock", tmp_path / "file"
    has_begun = threading.Event()

    def hold() -> None:
        with file_lock(path, grows=written, patience_seconds=60.0):
            has_begun.set()
            for size in range(45):  # longer than the other's patience
                written.with_name("file.part").write_bytes(bytes(size))
                time.sleep(0.1)

    with ThreadPoolExecutor(1) as threads:
        holding = threads.submit(hold)
        has_begun.wait()
        with file_lock(path, patience_seconds=3.0) as is_held:
            assert is_held
        holding.result()
