"""The tables of a finance report, as every format shows them: who, what, how much, and a total that is the report's."""

from collections.abc import Iterator, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from msgspec import Struct

from proxy.cli.usage_columns import padded
from proxy.core.money import pusd_to_usd
from proxy.policy.exchange_rates import plain_text
from proxy.storage.finance import USE_CASE, MonthReport
from proxy.storage.spending import TAG, LateSum, SpendingRow

NOBODY: Final = "(no request)"  # costs that were booked late and belong to no request
NONE: Final = "(none)"
_CENT = Decimal("0.01")


class SpendingTable(Struct, frozen=True):
    """Rows under a title. heads name the parts of their keys; other: all rows that are left out, None without any."""

    name: str
    title: str
    heads: tuple[str, ...]
    rows: Sequence[SpendingRow]
    other: SpendingRow | None = None
    left_out: int = 0

    def keys(self, row: SpendingRow) -> list[str]:
        """Return the parts of a key for people."""
        empty = NOBODY if self.name == "person" else NONE
        return [text or (empty if n == 0 else "") for n, text in enumerate(row.key)]


def spending_tables(report: MonthReport, top: int | None = None) -> Iterator[SpendingTable]:
    """Yield the tables; each with the top dearest rows and the rest in one."""
    project = report.question.project
    word = "use case" if project == USE_CASE else f"tag {project.removeprefix(TAG)}"
    tables = (
        SpendingTable("person", "By person", ("person", "group"), report.people),
        SpendingTable("group", "By group", ("group",), report.groups),
        SpendingTable("project", f"By project ({word})", ("project",), report.projects),
        SpendingTable("model", "By provider and model", ("provider", "model"), report.models),
    )
    for table in tables:
        if top is None or len(table.rows) <= top + 1:
            yield table
            continue
        rest = table.rows[top:]
        key = (f"{len(rest)} others", *[""] * (len(table.heads) - 1))
        other = SpendingRow.total(rest).under(key)
        yield SpendingTable(table.name, table.title, table.heads, table.rows[:top], other, len(rest))


class ReportSection(Struct, frozen=True):
    """A small table under a title: the first column is text, the others numbers. Without rows there is note alone."""

    title: str
    heads: tuple[str, ...]
    rows: list[tuple[str, ...]]
    total: tuple[str, ...]
    note: str


def further_sections(report: MonthReport) -> Iterator[ReportSection]:
    """Yield what stands beside the tables of spending: late costs, the bill, and what was before."""
    yield _late_costs(report)
    yield _bill(report)
    if report.history:
        yield _history(report)


def _late_costs(report: MonthReport) -> ReportSection:
    late = report.late
    return ReportSection(
        "Costs that became known late",
        ("reason", "number", "USD"),
        [(late_reason(one), str(one.number), usd(one.pusd)) for one in late],
        ("total", str(sum(one.number for one in late)), usd(sum(one.pusd for one in late))),
        "They are in all tables above." if late else "None: every cost was known when its request ended.",
    )


def _bill(report: MonthReport) -> ReportSection:
    title, heads, bill = "Ledger and bill", ("difference", "number", "USD", "booked since"), report.bill
    if bill is None:
        return ReportSection(title, heads, [], (), "No day was compared with what the provider charged.")
    broken = f", {bill.broken} not whole" if bill.broken else ""
    days = "1 day" if bill.days == 1 else f"{bill.days} days"
    return ReportSection(
        title,
        heads,
        [(one.drift_class, str(one.number), usd(one.amount_pusd), usd(one.adjusted_pusd)) for one in bill.classes],
        (
            "total",
            str(sum(one.number for one in bill.classes)),
            usd(bill.billed_pusd - bill.booked_pusd),
            usd(sum(one.adjusted_pusd for one in bill.classes)),
        ),
        f"{days} of UTC compared{broken}: the bill has {usd(bill.billed_pusd)} USD, the ledger had"
        f" {usd(bill.booked_pusd)} USD.",
    )


def _history(report: MonthReport) -> ReportSection:
    rows = report.history
    return ReportSection(
        "Charged before the first request here",
        ("provider and model", "requests", "USD"),
        [
            (f"{one.provider} {one.model}", "-" if one.requests is None else str(one.requests), usd(one.cost_pusd))
            for one in rows
        ],
        ("total", str(sum(one.requests or 0 for one in rows)), usd(sum(one.cost_pusd for one in rows))),
        "By the provider's word; it is in no table above.",
    )


def usd(pusd: int) -> str:
    """Return an exact amount for reading."""
    return padded(pusd_to_usd(pusd))


def exact_local(amount: Decimal | None) -> str:
    return "" if amount is None else plain_text(amount)


def rounded(amount: Decimal | None) -> str:
    """Return an amount of the local currency to the cent."""
    return "-" if amount is None else f"{amount.quantize(_CENT, ROUND_HALF_UP):f}"


def percent(share: Decimal | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def late_reason(late: LateSum) -> str:
    """Return why costs became known late, and who said so."""
    return f"{late.reason} ({late.source})" if late.source else late.reason


def has_currency(report: MonthReport, currency: str) -> bool:
    """Return whether there is another currency than USD to show."""
    return currency.upper() != "USD" and report.total.cost_local is not None
