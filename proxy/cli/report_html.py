"""A finance report as one HTML page: nothing from elsewhere, no script, for paper as for a dark screen.

Every text is escaped: names of models, users and tags come from outside.
"""

from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from html import escape

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
from proxy.cli.table import printable
from proxy.storage.finance import MonthReport
from proxy.storage.spending import SpendingRow

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2129; --soft: #59616e; --paper: #fff; --line: #dfe2e7; --bar: #2f6fb3; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaee; --soft: #a0a8b5; --paper: #16181d; --line: #333943; --bar: #6fa8e0; }
}
@media print { :root { --ink: #000; --soft: #444; --paper: #fff; --line: #bbb; --bar: #555; } body { padding: 0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem; max-width: 60rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { margin: 0 0 .3rem; font-size: 1.6rem; }
h2 { margin: 1.8rem 0 .4rem; font-size: 1.1rem; break-after: avoid; }
p { margin: .3rem 0; color: var(--soft); }
p.total { color: var(--ink); font-size: 1.15rem; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem .25rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top;
  overflow-wrap: anywhere; }
th { color: var(--soft); font-weight: 600; }
.n { text-align: right; white-space: nowrap; }
tr { break-inside: avoid; }
tr.sum td { font-weight: 600; border-bottom: 0; }
svg { display: block; } rect { fill: var(--bar); }
svg text { fill: var(--soft); font: 11px system-ui, sans-serif; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; margin: 0; } dd { margin: 0; }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_BAR = 100  # the width of the longest bar
_CHART = (720, 120)
_CHART_FOOT = 18


def report_html(report: MonthReport, currency: str, top: int | None) -> str:
    """Return the page; local amounts are rounded to the cent, those in USD are exact."""
    title, period, total = head_lines(report, currency)
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        "</head>",
        "<body>",
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(period)}</p>",
        f'<p class="total">{escape(total)}</p>',
        *_chart(report),
    ]
    for table in spending_tables(report, top):
        parts += [f"<h2>{escape(table.title)}</h2>", *_spending(table, report, currency)]
    for section in further_sections(report):
        parts += [f"<h2>{escape(section.title)}</h2>", *_further(section)]
    parts += ["<h2>Outlook</h2>", *_pairs(outlook_lines(report))]
    if report.question.revenue_pusd is not None:
        parts += ["<h2>Return on the cost</h2>", *_pairs(break_even_lines(report))]
    parts += [f"<p>{escape(text)}</p>" for text in doubt_lines(report)]
    return "\n".join([*parts, "</body>", "</html>"]) + "\n"


def _row(cells: Iterable[str], texts: int, kind: str = "td", name: str = "") -> str:
    """Return a row; the first cells are texts, the others numbers. Cells are HTML already."""
    tags = [
        f"<{kind}>{cell}</{kind}>" if n < texts else f'<{kind} class="n">{cell}</{kind}>'
        for n, cell in enumerate(cells)
    ]
    return f"<tr{f' class={name!r}' if name else ''}>{''.join(tags)}</tr>"


def _spending(table: SpendingTable, report: MonthReport, currency: str) -> Iterator[str]:
    if not table.rows:
        yield "<p>Nothing was spent.</p>"
        return
    with_local, texts = has_currency(report, currency), len(table.heads)
    most = max(row.cost_pusd for row in table.rows)

    def cells(keys: list[str], row: SpendingRow, picture: str) -> list[str]:
        local = [rounded(row.cost_local)] if with_local else []
        figures = [f"{row.requests:,}", f"{row.tokens:,}", usd(row.cost_pusd), *local]
        shown = [*map(printable, keys), *figures, percent(row.share_of(report.total))]
        return [*map(escape, shown), picture]

    heads = [*table.heads, "requests", "tokens", "USD", *((currency,) if with_local else ()), "share", ""]
    yield "<table>"
    yield f"<thead>{_row(map(escape, heads), texts, 'th')}</thead>"
    yield "<tbody>"
    for row in table.rows:
        yield _row(cells(table.keys(row), row, _bar(row.cost_pusd, most)), texts)
    if table.other is not None:
        yield _row(cells(list(table.other.key), table.other, ""), texts)
    yield _row(cells(["total", *[""] * (texts - 1)], report.total, ""), texts, name="sum")
    yield "</tbody>"
    yield "</table>"


def _bar(pusd: int, most: int) -> str:
    width = 0 if most <= 0 else max(pusd, 0) * _BAR // most
    return f'<svg width="{_BAR}" height="12" aria-hidden="true"><rect width="{width}" height="12"/></svg>'


def _chart(report: MonthReport) -> Iterator[str]:
    """Yield a picture of the month, a bar for each day that has begun."""
    question = report.question
    first = datetime.fromtimestamp(question.start_ms / 1000, question.zone).date()
    last = datetime.fromtimestamp((min(question.end_ms, report.made_ms + 1) - 1) / 1000, question.zone).date()
    count = (last - first).days + 1
    days = [(first + timedelta(days=n)).isoformat() for n in range(count)]
    costs = [max(report.days.get(day, 0), 0) for day in days]
    most = max(costs, default=0)
    if most <= 0:
        return
    width, height = _CHART
    step, room = width // 31, height - _CHART_FOOT
    label = f"Cost by day; the dearest day: {usd(most)} USD"
    yield f'<svg viewBox="0 0 {width} {height}" width="100%" role="img" aria-label="{escape(label)}">'
    for n, (day, pusd) in enumerate(zip(days, costs, strict=True)):
        tall = pusd * room // most
        yield f'<rect x="{n * step}" y="{room - tall}" width="{step - 3}" height="{tall}">'
        yield f"<title>{day}: {usd(pusd)} USD</title></rect>"
        if date.fromisoformat(day).day % 5 == 1:
            yield f'<text x="{n * step}" y="{height - 4}">{date.fromisoformat(day).day}</text>'
    yield "</svg>"


def _further(section: ReportSection) -> Iterator[str]:
    if section.rows:
        yield "<table>"
        yield f"<thead>{_row(map(escape, section.heads), 1, 'th')}</thead>"
        yield "<tbody>"
        for row in section.rows:
            yield _row((escape(printable(cell)) for cell in row), 1)
        yield _row(map(escape, section.total), 1, name="sum")
        yield "</tbody>"
        yield "</table>"
    yield f"<p>{escape(section.note)}</p>"


def _pairs(pairs: Iterator[tuple[str, str]]) -> Iterator[str]:
    yield "<dl>"
    for name, text in pairs:
        yield f"<dt>{escape(name)}</dt><dd>{escape(printable(text))}</dd>"
    yield "</dl>"
