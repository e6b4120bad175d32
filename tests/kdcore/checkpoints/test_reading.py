"""Files are read exactly as far as they were checked, or not at all."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kdcore.checkpoints import Code
from kdcore.checkpoints.reading import OpenFile
from kdcore.errors import CheckpointRejected


def test_bytes_past_the_end_are_refused(upload: Callable[[bytes], Path]) -> None:
    with OpenFile(upload(b"12345")) as file:
        assert file.read(1, 4) == b"2345"
        assert file.read_up_to(3, 100) == b"45"
        with pytest.raises(CheckpointRejected) as caught:
            file.read(2, 4)
    assert caught.value.code == Code.CHANGED


def test_bytes_become_a_tensor(upload: Callable[[bytes], Path]) -> None:
    with OpenFile(upload(b"\x01\x02\x03")) as file:
        assert file.read_bytes_tensor(1, 2).tolist() == [2, 3]
        assert file.read_bytes_tensor(3, 0).tolist() == []


def test_closing_twice_is_fine(upload: Callable[[bytes], Path]) -> None:
    file = OpenFile(upload(b"1"))
    file.close()
    file.close()
