"""HTML and SVG elements whose text is escaped unless it is itself an element."""

import html
import re


class Markup(str):
    """Text that is HTML already. Only `element` and `join` make it from foreign text."""

    __slots__ = ()


_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def escape(text: str) -> Markup:
    """Make text safe between tags and in quoted attributes; control characters become U+FFFD."""
    if isinstance(text, Markup):
        return text
    return Markup(html.escape(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", text), quote=True))


def join(*parts: str) -> Markup:
    """Put parts one after the other; those that are not elements are escaped."""
    return Markup("".join(escape(part) for part in parts))


def element(name: str, /, *children: str, **attributes: str | float) -> Markup:
    """Make `<name attributes>children</name>`.

    Children that are plain text and all attribute values are escaped. Attribute names are Python
    names: `class_` is class, `stroke_width` is stroke-width. Numbers are rounded to hundredths.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
    )
    return Markup(f"<{name}{written}>{join(*children)}</{name}>")


def _value(value: str | float) -> str:
    return escape(value) if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
