"""Recompute from the roll-up by the hour what days come to, and compare it with the sums that are kept of them."""

import sqlite3
from collections.abc import Iterator
from typing import Any

from proxy.storage.sqlite.usage_daily import FACETS, Facet
from proxy.storage.sqlite.verify_performance import readable_counts

_MOST = (1 << 63) - 1
_DAYS = "SELECT start_ms, end_ms FROM daily_spans WHERE state = 'whole' ORDER BY start_ms"


def compare_days(connection: sqlite3.Connection) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Yield the sums of days that differ from those of their hours, as (day_ms, names ...), and how."""
    for day in connection.execute(_DAYS).fetchall():
        for facet in FACETS:
            yield from _compare(connection, facet, day)


def _compare(
    connection: sqlite3.Connection, facet: Facet, day: tuple[int, int]
) -> Iterator[tuple[tuple[Any, ...], str]]:
    columns = ", ".join((*facet.names, *facet.figures))
    hours = f"SELECT {columns} FROM usage_hourly WHERE hour_ms >= ? AND hour_ms < ?"  # noqa: S608 - constants
    days = f"SELECT {columns} FROM usage_daily WHERE day_ms = ? AND facet = ?"  # noqa: S608 - constants
    wanted = _add_up(connection.execute(hours, day), facet)
    kept = _add_up(connection.execute(days, (day[0], facet.number)), facet)
    for names in sorted(wanted.keys() | kept.keys()):
        has, wants = kept.get(names), wanted.get(names)
        if has != wants:
            yield (day[0], *names), _told(facet, has, wants)


def _add_up(rows: sqlite3.Cursor, facet: Facet) -> dict[tuple[str, ...], list[Any]]:
    """Return sums by names, with the histograms in the one form that all with the same sums have."""
    places = range(len(facet.figures))
    at_counts = facet.figures.index("counts") if "counts" in facet.figures else None
    found: dict[tuple[str, ...], list[Any]] = {}
    counts: dict[tuple[str, ...], list[bytes]] = {}
    for row in rows:
        names = row[: len(facet.names)]
        total = found.setdefault(names, [0] * len(facet.figures))
        for place, figure in zip(places, row[len(facet.names) :], strict=True):
            if place == at_counts:
                counts.setdefault(names, []).append(figure)
            else:
                total[place] = min(total[place] + figure, _MOST)
    for names, many in counts.items():
        if at_counts is not None:
            found[names][at_counts] = readable_counts(many)
    return found


def _told(facet: Facet, has: list[Any] | None, wants: list[Any] | None) -> str:
    if has is None:
        return "hours that are missing from their day"
    if wants is None:
        return "a day counts what is in no hour of it"
    named = zip(facet.figures, has, wants, strict=True)
    return ", ".join(
        "its histograms are not those of its hours" if name == "counts" else f"{name} is {kept}, hours say {sum_}"
        for name, kept, sum_ in named
        if kept != sum_
    )
