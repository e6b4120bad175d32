"""The list of codes is the whole list, and each is really used."""

import re
from pathlib import Path

import kdcore.checkpoints
from kdcore.checkpoints import Code
from kdcore.checkpoints.codes import refusal, shown_number

PACKAGE = Path(kdcore.checkpoints.__file__).parent


def sources() -> dict[str, str]:
    return {path.name: path.read_text() for path in PACKAGE.glob("*.py")}


def test_every_code_is_raised_somewhere() -> None:
    used = {
        name
        for file, text in sources().items()
        if file != "codes.py"
        for name in re.findall(r"Code\.([A-Z0-9_]+)", text)
    }
    assert used == set(Code.__members__)


def test_every_code_is_tested_somewhere() -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    used = set(re.findall(r"Code\.([A-Z0-9_]+)", tests))
    assert set(Code.__members__) - used == set()


def test_codes_are_snake_case_and_distinct() -> None:
    values = [code.value for code in Code]
    assert len(set(values)) == len(values)
    assert all(re.fullmatch(r"[a-z]+(_[a-z0-9]+)*", value) for value in values)


def test_nothing_in_the_package_can_unpickle() -> None:
    forbidden = re.compile(r"torch\.load\b|pickle\.loads?\b|import pickle|(?<!\.)\b(eval|exec)\(")
    assert [file for file, text in sources().items() if forbidden.search(text)] == []


def test_refusal_carries_a_plain_text_code() -> None:
    error = refusal(Code.HOLE, "There is a hole.", tensor="w")
    assert type(error.code) is str
    assert error.code == "hole_between_tensors"


def test_long_numbers_are_not_written_out() -> None:
    assert shown_number(12) == "12"
    assert shown_number(-(10**5000)) == "more than 10^18"
