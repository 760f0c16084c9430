"""What a storm found, as a dated page for docs/evidence: a section that runs again replaces what the page had of it."""

import datetime as dt
import os
import platform
import re
import sqlite3
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from proxy import __version__
from proxy.core.build import IS_COMPILED

from .sections import SECTIONS, Result, Section

_SHOWN = 20
_HEAD = re.compile(r"\*\*(?P<verdict>[^*]+)\*\* · (?P<size>[^·]+) · seed (?P<seed>\d+) · (?P<took>[^·]+) · ")


@dataclass(frozen=True, slots=True)
class Ran:
    """One section that was run. command: as a person types it."""

    section: Section
    size: int
    seed: int
    took_s: float
    result: Result
    command: str


def versions() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in ("aiohttp", "uvloop", "orjson"))
    own = f"{__version__}, compiled" if IS_COMPILED else __version__
    return (
        f"tollkeeper {own}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {packages},"
        f" {platform.system()} {platform.release().partition('-')[0]}, {os.cpu_count()} CPUs"
    )


def verdict(differences: list[str]) -> str:
    return f"{len(differences)} differences" if differences else "no difference"


def difference_lines(differences: list[str]) -> list[str]:
    lines = differences[:_SHOWN]
    if len(differences) > _SHOWN:
        lines = [*lines, f"... and {len(differences) - _SHOWN} more"]
    return lines


def write_page(folder: Path, ran: list[Ran]) -> Path:
    """Write or renew the page of today (UTC); sections of it that did not run now stay as they are.

    The compiled build has a page of its own.
    """
    path = folder / f"storm-{'compiled-' if IS_COMPILED else ''}{dt.datetime.now(dt.UTC):%Y-%m-%d}.md"
    path.write_text(page(path.read_text() if path.exists() else "", ran))
    return path


def page(old: str, ran: list[Ran]) -> str:
    """Give the page with what ran now put in."""
    blocks = _blocks(old) | {one.section.title: _block(one) for one in ran}
    ordered = [section for section in SECTIONS if section.title in blocks]
    lines = [
        "# Storm",
        "",
        (
            "Written by `scripts/storm --report`. What is done and what must hold: [storm.md](../trust/storm.md)."
            " A seed draws the same again; which packet meets which kill it does not."
        ),
        "",
        "| | size | full size | seed | took | found |",
        "|---|--:|--:|--:|--:|---|",
        *(_summary(section, blocks[section.title]) for section in ordered),
        "",
    ]
    return "\n".join(lines) + "\n" + "\n".join(blocks[section.title] for section in ordered)


def _blocks(old: str) -> dict[str, str]:
    """Take a page apart: title -> the section's text."""
    found = {}
    for part in re.split(r"^## ", old, flags=re.MULTILINE)[1:]:
        title = part.partition("\n")[0]
        if _HEAD.search(part):
            found[title] = f"## {part.rstrip()}\n"
    return found


def _summary(section: Section, block: str) -> str:
    head = _HEAD.search(block)
    assert head is not None
    cells = (section.title, head["size"], f"{section.full:,}", head["seed"], head["took"], head["verdict"])
    return f"| {' | '.join(cells)} |"


def _block(ran: Ran) -> str:
    now = dt.datetime.now(dt.UTC)
    section = ran.section
    lines = [
        f"## {section.title}",
        "",
        (
            f"**{verdict(ran.result.differences)}** · {ran.size:,} {section.unit} · seed {ran.seed} ·"
            f" {ran.took_s:.0f} s · {now:%Y-%m-%d %H:%M} UTC · `{ran.command}`"
        ),
        "",
        f"{versions()}.",
        "",
        section.about,
        "",
    ]
    for title, table in ran.result.tables:
        lines += _table(title, table)
    if ran.result.differences:
        lines += ["### Differences", "", *(f"- {line}" for line in difference_lines(ran.result.differences)), ""]
    return "\n".join(lines)


def _table(title: str, table: list[tuple[str, int | str]]) -> list[str]:
    rows = [f"| {name} | {shown(value)} |" for name, value in table]
    return [f"### {title}", "", "| | |", "|---|--:|", *rows, ""]


def shown(value: int | str) -> str:
    return value if isinstance(value, str) else f"{value:,}"
