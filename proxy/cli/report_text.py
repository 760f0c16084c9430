"""A finance report as one page of text, 80 columns where amounts allow it."""

from collections.abc import Iterator
from textwrap import wrap
from typing import Final

from proxy.cli.layout import as_table
from proxy.cli.report_head import doubt_lines, head_lines
from proxy.cli.report_outlook import break_even_lines, outlook_lines
from proxy.cli.report_tables import (
    ReportSection,
    SpendingTable,
    further_sections,
    has_currency,
    percent,
    rounded,
    spending_tables,
    usd,
)
from proxy.cli.table import plain_table, printable
from proxy.storage.finance import MonthReport
from proxy.storage.spending import SpendingRow

_SENTENCE_COLUMNS: Final = 48
_PAGE_COLUMNS: Final = 80


def report_text(report: MonthReport, currency: str, top: int | None) -> str:
    """Return the page; local amounts are rounded to the cent, those in USD are exact."""
    lines: list[str] = []
    title, *rest = head_lines(report, currency)
    lines += [title, "=" * len(title), "", *(part for line in rest for part in wrap(line, _PAGE_COLUMNS))]
    for table in spending_tables(report, top):
        lines += ["", *_section(table.title), *_table(table, report, currency)]
    for section in further_sections(report):
        lines += ["", *_section(section.title), *_further(section)]
    lines += ["", *_section("Outlook"), *_pairs(outlook_lines(report))]
    if report.question.revenue_pusd is not None:
        lines += ["", *_section("Return on the cost"), *_pairs(break_even_lines(report))]
    if doubts := [*doubt_lines(report)]:
        lines += ["", *(part for line in doubts for part in wrap(line, _PAGE_COLUMNS))]
    return "\n".join(lines) + "\n"


def _section(title: str) -> list[str]:
    return [title, "-" * len(title)]


def _table(table: SpendingTable, report: MonthReport, currency: str) -> list[str]:
    if not table.rows:
        return ["Nothing was spent."]
    with_local = has_currency(report, currency)
    figures = ("requests", "tokens", "USD", *((currency,) if with_local else ()), "share")

    def cells(keys: list[str], row: SpendingRow) -> list[str]:
        local = [rounded(row.cost_local)] if with_local else []
        amounts = [str(row.requests), str(row.tokens), usd(row.cost_pusd), *local, percent(row.share_of(report.total))]
        return [*(printable(key) for key in keys), *amounts]

    rows = [cells(table.keys(row), row) for row in table.rows]
    if table.other is not None:
        rows.append(cells(list(table.other.key), table.other))
    total = cells(["total", *[""] * (len(table.heads) - 1)], report.total)
    lines = [[*table.heads, *figures], *rows, total]
    is_figure = [name in figures for name in lines[0]]  # amounts stay whole, names are broken
    return as_table(lines, is_figure, is_figure, _PAGE_COLUMNS) or plain_table(lines, frozenset(figures))


def _further(section: ReportSection) -> list[str]:
    if not section.rows:
        return [section.note]
    rows = [line for row in section.rows for line in _wrapped([printable(cell) for cell in row])]
    return [*plain_table([[*section.heads], *rows, [*section.total]], frozenset(section.heads[1:])), section.note]


def _wrapped(cells: list[str]) -> Iterator[list[str]]:
    """Yield the lines of a row whose first cell may be a sentence: the figures stand beside its last line."""
    *first, last = wrap(cells[0], _SENTENCE_COLUMNS) or [""]
    for line in first:
        yield [line, *[""] * (len(cells) - 1)]
    yield [last, *cells[1:]]


def _pairs(pairs: Iterator[tuple[str, str]]) -> list[str]:
    found = [(name, printable(text)) for name, text in pairs]
    width = max((len(name) for name, _ in found), default=0)
    return [f"{name:<{width}}  {text}" for name, text in found]
