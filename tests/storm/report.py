"""What a storm found, as lines on the terminal and as a dated page for docs/evidence."""

import datetime as dt
import os
import platform
import sqlite3
from importlib.metadata import version

from proxy import __version__

from .compare import Difference
from .ledger_kills import KillOutcome
from .storm import Outcome

_SHOWN = 20


def versions() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in ("aiohttp", "uvloop", "orjson"))
    return (
        f"tollkeeper {__version__}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {packages},"
        f" {platform.system()} {platform.release().partition('-')[0]}, {os.cpu_count()} CPUs"
    )


def storm_tables(outcome: Outcome) -> list[tuple[str, list[tuple[str, int]]]]:
    """Give the counts of a storm as titled lists."""
    return [
        ("The run", list(outcome.facts.items())),
        ("What clients saw", sorted(outcome.clients.items())),
        ("Where the cost of a row is from", sorted(outcome.rows.items())),
    ]


def kills_table(outcome: KillOutcome) -> list[tuple[str, int]]:
    return [
        ("SIGKILLs of the writer", outcome.kills),
        ("acknowledged commits", outcome.acknowledged),
        ("rows in the files", outcome.rows),
        ("rows taken up after a kill", outcome.taken_up),
        ("ledger files", outcome.files),
    ]


def verdict(differences: list[Difference]) -> str:
    return f"{len(differences)} differences" if differences else "no difference"


def difference_lines(differences: list[Difference]) -> list[str]:
    lines = [f"{one.session}: {one.text}" for one in differences[:_SHOWN]]
    if len(differences) > _SHOWN:
        lines.append(f"... and {len(differences) - _SHOWN} more")
    return lines


def storm_page(outcome: Outcome, command: str) -> str:
    """Write the page of a storm."""
    plan = outcome.plan
    about = (
        f"{len(plan.asks)} requests with faults and hang-ups, {len(plan.kills)} SIGKILLs of the proxy under load."
        " What is compared, and how to read the words of the last table: [storm.md](../storm.md)."
    )
    parts = [
        "# Storm: the simulator's books against the ledger",
        "",
        _headline(command, plan.seed, outcome.took_s, outcome.differences),
        "",
        f"{versions()}.",
        "",
        about,
        "",
    ]
    for title, counts in storm_tables(outcome):
        parts += _table(title, counts)
    parts += _differences(outcome.differences)
    return "\n".join(parts)


def kills_page(outcome: KillOutcome, command: str) -> str:
    """Write the page of a run against the ledger alone."""
    parts = [
        "# Storm: SIGKILLs of the ledger's writer",
        "",
        _headline(command, outcome.seed, outcome.took_s, outcome.differences),
        "",
        f"{versions()}.",
        "",
    ]
    parts += _table("The run", kills_table(outcome))
    parts += _differences(outcome.differences)
    return "\n".join(parts)


def _headline(command: str, seed: int, took_s: float, differences: list[Difference]) -> str:
    now = dt.datetime.now(dt.UTC)
    return f"{now:%Y-%m-%d %H:%M} UTC · `{command}` · seed {seed} · {took_s:.0f} s · **{verdict(differences)}**"


def _table(title: str, counts: list[tuple[str, int]]) -> list[str]:
    rows = [f"| {name} | {count:,} |" for name, count in counts]
    return [f"## {title}", "", "| | |", "|---|--:|", *rows, ""]


def _differences(differences: list[Difference]) -> list[str]:
    if not differences:
        return []
    return ["## Differences", "", *(f"- {line}" for line in difference_lines(differences)), ""]
