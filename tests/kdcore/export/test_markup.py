"""Elements whose text cannot become markup."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdcore.export.markup import Markup, element, escape, join


class _Reader(HTMLParser):
    """Notes every tag, attribute and text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def _read(markup: str) -> _Reader:
    reader = _Reader()
    reader.feed(markup)
    reader.close()
    return reader


@given(text=st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_any_text_is_shown_as_it_is_and_makes_no_tag(text: str) -> None:
    reader = _read(element("p", text, title=text))

    assert reader.tags == ["p"]
    assert reader.attributes == [("title", text)]
    assert reader.text == text


def test_elements_stay_elements_inside_others() -> None:
    assert element("p", "a < b ", element("b", "c")) == "<p>a &lt; b <b>c</b></p>"


@pytest.mark.parametrize("control", ["\x00", "\x1b", "\x7f", "\ud800"])
def test_control_characters_and_lone_surrogates_are_replaced(control: str) -> None:
    assert escape(f"a{control}b") == "a\N{REPLACEMENT CHARACTER}b"


def test_parts_that_are_plain_text_are_escaped_when_joined() -> None:
    assert join("<", Markup("<br>"), ">") == "&lt;<br>&gt;"


def test_attribute_names_are_written_as_html_has_them() -> None:
    assert element("i", class_="x", stroke_width=1.5) == '<i class="x" stroke-width="1.5"></i>'


@pytest.mark.parametrize(
    ("value", "written"), [(100, "100"), (0.125, "0.12"), (2.5, "2.5"), (0, "0"), (-3.0, "-3")]
)
def test_numbers_are_rounded_to_hundredths(value: float, written: str) -> None:
    assert element("i", x=value) == f'<i x="{written}"></i>'
