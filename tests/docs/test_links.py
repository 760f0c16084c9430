"""Every link leads somewhere, every page can be found from the contents, and no text names a page that is not there."""

import re
from pathlib import PurePosixPath

import pytest

from .pages import ROOT, pages, tracked

# Steps of the migration are compared with what old ledgers hold: their comments are as they were when they were made.
FIXED = ("proxy/storage/sqlite/migrations/", "proxy/storage/sqlite/migrations/", "docs/evidence/")


def _resolved(page: str, path: str) -> str:
    parts: list[str] = []
    for part in (PurePosixPath(page).parent / path).parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


@pytest.mark.parametrize("name", pages())
def test_every_link_leads_to_a_file_and_a_heading(name: str) -> None:
    for path, anchor in pages()[name].links:
        target = _resolved(name, path) if path else name
        assert (ROOT / target).exists(), f"{name} links to {path}"
        if anchor and target in pages():
            assert anchor in pages()[target].anchors, f"{name} links to {path}#{anchor}"


@pytest.mark.parametrize("name", [name for name in pages() if not name.startswith(FIXED)])
def test_every_file_that_a_page_names_is_there(name: str) -> None:
    for path in re.findall(r"`((?:proxy|tests|scripts|docs)/[\w/.-]*)`", pages()[name].text):
        assert (ROOT / path).exists() or "DATE" in path, path
    for file in re.findall(r"`([\w/]+\.py)`", pages()[name].text):
        assert any(f"/{known}".endswith(f"/{file}") for known in tracked()), file


def test_the_contents_name_every_page() -> None:
    listed = {_resolved("docs/README.md", path) for path, _ in pages()["docs/README.md"].links if path}
    written = {name for name in pages() if name.startswith("docs/") and not name.startswith("docs/evidence/")}
    assert written - listed == {"docs/README.md"}


def test_the_front_page_leads_to_the_contents() -> None:
    assert ("docs/README.md", "") in pages()["README.md"].links


def test_no_text_names_a_page_that_is_not_there() -> None:
    missing = []
    for name in tracked():
        if name.startswith(FIXED) or name.endswith((".lock", ".png", ".svg")):
            continue
        text = (ROOT / name).read_text(encoding="utf-8", errors="replace")
        missing += [
            f"{name}: {page}" for page in re.findall(r"\bdocs/[\w/-]+\.md\b", text) if not (ROOT / page).exists()
        ]
    assert [one for one in missing if "DATE" not in one] == []
