"""The command line in this process, talking to the scripted server."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from kdclient.cli import main
from tests.kdclient.scripted_server import ScriptedServer


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it wrote."""

    status: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def run(
    scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run `potstill` with the scripted server as its service."""
    monkeypatch.setenv("POTSTILL_URL", scripted.url)
    monkeypatch.setenv("POTSTILL_API_KEY", "a-key")
    monkeypatch.setenv("TERM", "dumb")

    def run(*arguments: str) -> Ended:
        with pytest.raises(SystemExit) as caught:
            main(list(arguments))
        status = caught.value.code
        written = capsys.readouterr()
        return Ended(int(status or 0), written.out, written.err)

    return run
