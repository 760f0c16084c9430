"""Elements of HTML and SVG, written so that every text in them is escaped and parses as XML too."""

import re
from typing import Final

from markupsafe import Markup, escape

# What XML cannot hold: control characters, halves of a surrogate pair, two that are not characters.
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SLUG: Final = re.compile(r"[a-z][a-z0-9-]{0,60}")


def element(tag: str, /, *children: object, **attributes: object) -> Markup:
    """Return one element. Children that are not Markup are escaped; those that are None are left out.

    attributes: ``class_`` is class, ``text_anchor`` text-anchor; a value of None leaves its attribute out, a number is
    written with one decimal at most.
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{_plain(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    inner = "".join(_plain(child) for child in children if child is not None)
    # Every part is escaped by _plain, or was Markup before.
    return Markup(f"<{tag}{written}>{inner}</{tag}>")  # noqa: S704


def number(value: float) -> str:
    """Return a coordinate with one decimal at most, never as ``-0`` and never with an exponent."""
    text = f"{value:.1f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def slug(name: str) -> str:
    """Return the name of a chart, which begins the ids within it. Raises ValueError if it cannot stand in one."""
    if not _SLUG.fullmatch(name):
        raise ValueError(f"a chart's name is made of small letters, digits and hyphens, not {name!r}")
    return name


def _plain(value: object) -> str:
    if isinstance(value, Markup):
        return value
    if isinstance(value, int | float):
        return number(value)
    text = _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", str(value))
    return escape(text)
