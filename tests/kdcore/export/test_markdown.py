"""Other people's text inside Markdown."""

import pytest

from kdcore.export.markdown import code_block, markdown_table, markdown_text


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("plain text 7", "plain text 7"),
        ("<img src=x>", "&lt;img src=x&gt;"),
        ("[a](javascript:b)", r"\[a\]\(javascript:b\)"),
        ("a|b", r"a\|b"),
        ("# head\n- item", r"\# head \- item"),
        ("`code` *b* _i_", r"\`code\` \*b\* \_i\_"),
        ("back\\slash", r"back\\slash"),
        ("line\u2028break\x00", "line break "),
    ],
)
def test_text_is_shown_as_it_is_on_one_line(text: str, written: str) -> None:
    assert markdown_text(text) == written


def test_code_cannot_close_its_own_fence() -> None:
    block = code_block('{"name": "````"}', language="json").splitlines()

    assert (block[0], block[-1]) == ("`````json", "`````")


def test_plain_code_has_a_plain_fence() -> None:
    assert code_block("x = 1", language="python") == "```python\nx = 1\n```"


def test_table_has_a_cell_for_every_head() -> None:
    assert markdown_table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | ---: |\n| 1 | 2 |"
