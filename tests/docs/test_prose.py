"""Prose that can be read: no line that runs off the screen, no paragraph that is a wall."""

import re

import pytest

from .pages import pages

LINE_MAX = 120
PARAGRAPH_MAX = 8  # lines; what is longer has two thoughts
# A list of changes, and records of what was measured, are not prose; the page of providers is made from data.
OTHER = ("docs/evidence/", "CHANGELOG.md", "docs/reference/providers.md")


@pytest.mark.parametrize("name", [name for name in pages() if not name.startswith(OTHER)])
def test_lines_and_paragraphs_are_short(name: str) -> None:
    long, size = [], 0
    for number, line in enumerate(pages()[name].prose.splitlines(), 1):
        if not line.startswith(("|", "![", "<!--")) and len(line) > LINE_MAX:
            long.append(f"{name}:{number}: {len(line)} characters")
        is_start = re.match(r"\s*([-*] |\d+\. )", line)
        size = 0 if not line.strip() or line.startswith("|") else 1 if is_start else size + 1
        if size > PARAGRAPH_MAX:
            long.append(f"{name}:{number}: a paragraph of more than {PARAGRAPH_MAX} lines")
    assert long == []
