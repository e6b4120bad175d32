"""Files that are written while something else goes on."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from kdcore.checkpoints import sha256_of
from kdcore.trainer import CheckpointFolder
from kdcore.trainer.checkpoint_writer import CheckpointWriter
from kdcore.trainer.snapshots import Snapshot, Staging
from tests.kdcore.trainer.held_folder import HeldFolder
from tests.kdcore.trainer.states import state


@pytest.fixture
def folder(tmp_path: Path) -> HeldFolder:
    return HeldFolder(tmp_path / "checkpoints")


@pytest.fixture
def writer(folder: HeldFolder) -> Iterator[CheckpointWriter]:
    writer = CheckpointWriter(folder)
    yield writer
    folder.may_write.set()
    writer.close()


def snapshot(step: int = 1) -> Snapshot:
    return Staging(torch.device("cpu")).snapshot(state(step, torch.ones(3)))


def test_caller_goes_on_while_a_file_is_written(
    folder: HeldFolder, writer: CheckpointWriter
) -> None:
    writer.start(snapshot())
    assert writer.is_busy
    assert writer.collect(wait=False) is None
    folder.may_write.set()

    saved = writer.collect(wait=True)

    assert saved is not None
    assert sha256_of(saved.path) == saved.sha256
    assert saved.size_bytes == saved.path.stat().st_size
    assert saved.header.step == 1
    assert writer.collect(wait=True) is None


def test_second_checkpoint_does_not_queue_behind_the_first(writer: CheckpointWriter) -> None:
    writer.start(snapshot())
    with pytest.raises(AssertionError, match="collect"):
        writer.start(snapshot(2))


def test_error_of_the_disk_reaches_the_caller_once(tmp_path: Path) -> None:
    writer = CheckpointWriter(CheckpointFolder(tmp_path / "checkpoints"))
    (tmp_path / "checkpoints").rmdir()
    writer.start(snapshot())
    with pytest.raises(FileNotFoundError):
        writer.collect(wait=True)
    assert writer.collect(wait=True) is None
    writer.close()


def test_closing_waits_for_the_file(folder: HeldFolder, writer: CheckpointWriter) -> None:
    writer.start(snapshot())
    folder.may_write.set()
    writer.close()
    assert folder.newest() is not None
