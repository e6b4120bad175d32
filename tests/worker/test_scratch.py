"""Scratch folders go with their work and their worker, and never another living worker's."""

import subprocess
import sys
from pathlib import Path

import pytest

from worker.scratch import Scratch


def test_work_folder_is_removed_whatever_happens(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path, name="a")

    def work_that_fails() -> None:
        with scratch.work_folder("job_1-1") as folder:
            (folder / "deep").mkdir()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work_that_fails()
    assert not (scratch.folder / "job_1-1").exists()
    scratch.close()


def test_work_folder_begins_empty(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path, name="a")
    (scratch.folder / "job_1-1").mkdir()
    (scratch.folder / "job_1-1" / "old").touch()
    with scratch.work_folder("job_1-1") as folder:
        assert list(folder.iterdir()) == []
    scratch.close()


def test_folder_of_a_living_worker_is_left_alone(tmp_path: Path) -> None:
    first, second = Scratch(tmp_path, name="a"), Scratch(tmp_path, name="b")
    assert first.folder.is_dir()
    first.close()
    second.close()


def test_folder_of_a_killed_worker_is_removed_by_the_next(tmp_path: Path) -> None:
    text = (
        "import os, signal; from pathlib import Path; from worker.scratch import Scratch\n"
        f"scratch = Scratch(Path({str(tmp_path)!r}), name='killed')\n"
        "(scratch.folder / 'half').write_text('...')\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", text], check=False)
    assert (tmp_path / "killed" / "half").exists()
    scratch = Scratch(tmp_path, name="next")
    assert not (tmp_path / "killed").exists()
    scratch.close()
    assert not scratch.folder.exists()
