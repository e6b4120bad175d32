"""The git revision of a checkout."""

import subprocess
from pathlib import Path

import pytest

from kdcore.evaluation.revision import git_revision


def _git(folder: Path, *arguments: str) -> str:
    settings = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    answer = subprocess.run(
        ["git", "-C", str(folder), *settings, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    _git(tmp_path, "init", "--quiet")
    (tmp_path / "code.py").write_text("x = 1\n")
    _git(tmp_path, "add", "code.py")
    _git(tmp_path, "commit", "--quiet", "-m", "first")
    return tmp_path


def test_revision_of_a_checkout_is_its_commit(checkout: Path) -> None:
    assert git_revision(checkout) == _git(checkout, "rev-parse", "HEAD")


def test_tag_does_not_replace_the_commit(checkout: Path) -> None:
    _git(checkout, "tag", "-a", "v1", "-m", "one")

    assert git_revision(checkout) == _git(checkout, "rev-parse", "HEAD")


def test_changed_file_is_told(checkout: Path) -> None:
    (checkout / "code.py").write_text("x = 2\n")

    assert git_revision(checkout) == _git(checkout, "rev-parse", "HEAD") + "-dirty"


def test_folder_inside_a_foreign_checkout_has_no_revision(checkout: Path) -> None:
    installed = checkout / "site-packages"
    installed.mkdir()

    assert git_revision(installed) is None


def test_without_git_there_is_no_revision(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    assert git_revision(checkout) is None


def test_broken_checkout_has_no_revision(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("gitdir: /nowhere\n")

    assert git_revision(tmp_path) is None
