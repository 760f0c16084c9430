"""The table of tollkeeper usage: the usual figures anywhere, shares and pictures where a terminal has room for them."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from proxy.cli.bars import can_draw, painted
from proxy.cli.table import Cell, has_room, print_table
from proxy.cli.usage_columns import COLUMNS, PICTURES, USUAL, WANTED, Trends, UsageView, heading
from proxy.policy.time_segments import TIME_WORDS

if TYPE_CHECKING:
    from proxy.cli.ledger_options import Source
    from proxy.storage.spending import SpendingRow, SpendingSums, UsageSelection

_TREND_MAX = 24  # blocks of a sparkline
_TREND_LEAST = 6  # with less room none is read


class UsageTable:
    """Sums that are printed; what they look like over time is read only where there is room to show it."""

    def __init__(self, source: "Source", wanted: "UsageSelection", sums: "SpendingSums", top: int | None) -> None:
        self._source = source
        self._wanted = wanted
        rows, other = sums.top(top)
        self._rows = [*rows, *([] if other is None else [other.under(("other", *[""] * (len(wanted.by) - 1)))])]
        self._total = sums.total
        self._view = UsageView(sums.total, max(row.cost_pusd for row in self._rows), source.currency_code)

    def show(self, chosen: tuple[str, ...] | None, *, wide: bool) -> None:
        """Print the chosen figures, all of them (wide), or the usual ones; on a terminal what it has room for."""
        has_currency = self._source.currency_code.upper() != "USD"
        usual = (*USUAL, *(("cost_local",) if has_currency else ()))
        left_out: list[str] = []
        if chosen is None:
            known = [name for name in COLUMNS if name != "cost_local" or has_currency]
            if wide:
                chosen = tuple(name for name in known if name not in PICTURES or can_draw())
            elif can_draw():
                fitting = self._fitting([name for name in WANTED if name in known])
                chosen = tuple(name for name in known if name in fitting)
                left_out = [name for name in usual if name not in fitting]
            else:
                chosen = usual
        if "trend" in chosen and not self._view.trends:
            self._view = replace(self._view, trends=self._trends())
        heads, cells, total = self._cells(chosen)
        print_table(heads, cells, total=total, right=self._right(chosen), whole=PICTURES, paint=painted)
        if left_out:
            names = ", ".join(heading(name, self._view.currency) for name in left_out)
            click.echo(f"Note: the terminal has no room for {names}: see --wide, --columns.", err=True)

    def _cells(self, names: tuple[str, ...]) -> tuple[list[str], list[list[Cell]], list[Cell]]:
        heads = [*self._wanted.by, *(heading(name, self._view.currency) for name in names)]
        cells = [[*(text or None for text in row.key), *self._figures(row, names)] for row in self._rows]
        total = [*_named("total", self._wanted.by), *self._figures(self._total, names)]
        return heads, cells, total

    def _figures(self, row: "SpendingRow", names: tuple[str, ...]) -> list[Cell]:
        return [COLUMNS[name](row, self._view) for name in names]

    def _right(self, names: tuple[str, ...]) -> frozenset[str]:
        return frozenset(heading(name, self._view.currency) for name in names if name not in PICTURES)

    def _fitting(self, wanted: list[str]) -> list[str]:
        """Return as many of the columns as the terminal has room for, the first come first; one at least."""
        names: list[str] = []
        for name in wanted:
            if name == "trend" and self._has_room([*names, name], more=_TREND_LEAST):
                self._view = replace(self._view, trends=self._trends())
            if name == "trend" and not self._view.trends:
                continue
            if not names or self._has_room([*names, name]):
                names.append(name)
        return names

    def _has_room(self, names: list[str], more: int = 0) -> bool:
        heads, cells, total = self._cells(tuple(names))
        return has_room(heads, [*cells, total], self._right(tuple(names)), PICTURES, more)

    def _trends(self) -> Trends:
        """Return what each row cost over the time that is shown, by the day, or by the hour of a single day.

        Nothing where the rows are times themselves, or where single rows would have to be read for it.
        """
        by = self._wanted.by
        if self._wanted.needs_rows or any(word in TIME_WORDS for word in by):
            return {}
        for word, place in (("day", _day), ("hour", _hour)):
            wanted = replace(self._wanted, by=(*by, word))
            rows = self._source.reports.usage(wanted, self._source.zone).rows
            places = {row.key[-1]: place(row.key[-1]) for row in rows}
            if len(places) > 1:
                return _sparks(rows, places)
        return {}


def _sparks(rows: "Sequence[SpendingRow]", places: Mapping[str, int]) -> Trends:
    """Return the costs of each key in up to _TREND_MAX equal parts of the time from the first to the last."""
    first = min(places.values())
    span = max(places.values()) - first + 1
    count = min(span, _TREND_MAX)
    trends: dict[tuple[str, ...], list[int]] = {}
    for row in rows:
        *key, label = row.key
        costs = trends.setdefault(tuple(key), [0] * count)
        costs[(places[label] - first) * count // span] += row.cost_pusd
    return trends


def _day(label: str) -> int:
    return date.fromisoformat(label).toordinal()


def _hour(label: str) -> int:
    return int(datetime.fromisoformat(label).timestamp() // 3600)


def _named(name: str, words: tuple[str, ...]) -> list[Cell]:
    """Return the cells of a row that is no key: its name, and nothing for further words."""
    return [name, *[""] * (len(words) - 1)]
