"""The pages that people read, and what is in them: links, headings, fenced blocks. Pure but for reading the files."""

import re
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^(```+)(.*?)\n(.*?)^\1[ ]*$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Page:
    """One Markdown file; name is its path from the root of the repository."""

    name: str
    text: str

    @property
    def prose(self) -> str:
        """Return the text without its fenced blocks, line for line."""
        return FENCE.sub(lambda block: "\n" * block[0].count("\n"), self.text)

    @property
    def links(self) -> list[tuple[str, str]]:
        """Return (path, anchor) of every link that leads into the repository; the path is empty for the page itself."""
        found = re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", self.prose)
        return [(path, anchor) for path, anchor in found if not re.match(r"\w+:", path)]

    @property
    def anchors(self) -> set[str]:
        """Return the anchors that GitHub makes of the headings."""
        seen: dict[str, int] = {}
        anchors = set()
        for title in re.findall(r"^#+ +(.*?) *$", self.prose, re.MULTILINE):
            words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).lower()
            anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
            seen[anchor] = seen.get(anchor, -1) + 1
            anchors.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        return anchors


@cache
def tracked() -> tuple[str, ...]:
    """Return the paths of all files of the project, from its root; without git, those that lie there."""
    ran = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if ran.returncode == 0:
        return tuple(name for name in ran.stdout.splitlines() if (ROOT / name).is_file())
    return tuple(
        str(path.relative_to(ROOT))
        for path in sorted(ROOT.rglob("*"))
        if path.is_file() and not {".venv", "__pycache__", "node_modules"} & set(path.relative_to(ROOT).parts)
    )


@cache
def pages() -> dict[str, Page]:
    """Return every Markdown page of the project by its path."""
    return {name: Page(name, (ROOT / name).read_text(encoding="utf-8")) for name in tracked() if name.endswith(".md")}
