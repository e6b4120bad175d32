"""The git revision that code runs from, if it runs from a checkout."""

import subprocess
from pathlib import Path

_TIMEOUT_SECONDS = 5.0


def git_revision(root: Path) -> str | None:
    """Give the full commit id of the checkout at `root`, with `-dirty` if tracked files differ.

    None where `root` is not the top of a checkout (an installed package), or git is not there
    or will not answer.
    """
    if not (root / ".git").exists():
        return None
    # No tag can match, so the answer is always a commit id.
    command = ["git", "--no-optional-locks", "-C", str(root), "describe"]
    command += ["--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None
