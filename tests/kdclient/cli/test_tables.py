"""Lists are tables for people and tab-separated lines for programs."""

import io
import sys

import pytest

from kdclient.cli.tables import print_table


class Terminal(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_names_are_never_taken_for_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    print_table(("id", "name"), [("mdl_1", "[red]a teacher[/red]")])
    assert "[red]a teacher[/red]" in terminal.getvalue()
    assert "name" in terminal.getvalue()


def test_programs_get_lines_without_a_header(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("id", "name"), [("mdl_1", "a"), ("mdl_2", "b")])
    assert capsys.readouterr().out == "mdl_1\ta\nmdl_2\tb\n"
