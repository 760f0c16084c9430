"""The tables of a finance report, as every format shows them: who, what, how much, and a total that is the report's."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from proxy.cli.usage_columns import padded
from proxy.core.money import pusd_to_usd
from proxy.policy.exchange_rates import plain_text
from proxy.storage.finance import USE_CASE, MonthReport
from proxy.storage.spending import TAG, LateSum, SpendingRow

NOBODY: Final = "(no request)"  # costs that were booked late and belong to no request
NONE: Final = "(none)"
_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class SpendingTable:
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
