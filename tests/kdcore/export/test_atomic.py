"""Files are there whole or not at all."""

import stat
from pathlib import Path

import pytest

from kdcore.export.atomic import write_bytes, write_text


def test_text_is_written_as_utf8_with_its_own_line_ends(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.txt", "é\r\n\n")

    assert path.read_bytes() == "é\r\n\n".encode()


def test_new_content_replaces_the_old_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")

    write_bytes(path, b"new")

    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    (taken / "inside").mkdir(parents=True)

    with pytest.raises(OSError, match="taken"):
        write_bytes(taken, b"x")

    assert list(tmp_path.iterdir()) == [taken]


def test_others_may_read_the_file(tmp_path: Path) -> None:
    path = write_bytes(tmp_path / "a.bin", b"x")

    assert stat.S_IMODE(path.stat().st_mode) == 0o644
