"""The fenced blocks of the pages: what language they are in, and why one is not run. Pure.

A comment ahead of a block says what is to be known of it:

    <!-- not run: it needs the network -->      the reason why a reader's command is not tried
    <!-- exit: 1 -->                            its last command ends with this code
    <!-- applied: config.yaml -->               the settings are laid over those of the page's running proxy

and one for a whole page: <!-- given: a running proxy --> its commands begin beside a proxy that has served requests.
"""

import re
from dataclasses import dataclass

from .pages import FENCE, Page

LANGUAGES = frozenset({"console", "yaml", "json", "python", "toml", "js", "ini", "env", "text", "mermaid"})
_COMMENT = re.compile(r"<!-- (not run|exit|applied): (.+?) -->\s*\Z")


@dataclass(frozen=True)
class Snippet:
    """One fenced block; line is that of its fence, exit_code that of its last command."""

    page: str
    line: int
    language: str
    text: str
    not_run: str | None = None
    exit_code: int = 0
    is_applied: bool = False

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def snippets(page: Page) -> list[Snippet]:
    """Return the blocks of a page in their order."""
    found = []
    for block in FENCE.finditer(page.text):
        before = page.text[: block.start()]
        notes = {}
        while comment := _COMMENT.search(before):
            notes[comment[1]] = comment[2]
            before = before[: comment.start()]
        found.append(
            Snippet(
                page.name,
                page.text.count("\n", 0, block.start()) + 1,
                block[2].strip(),
                block[3],
                notes.get("not run"),
                int(notes.get("exit", "0")),
                "applied" in notes,
            )
        )
    return found
