"""What stands above and below the tables of a finance report, in every format that people read."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from proxy.cli.report_tables import has_currency, rounded, usd
from proxy.storage.finance import MonthReport, month_title


def head_lines(report: MonthReport, currency: str) -> Iterator[str]:
    """Yield the title, the time that it is of, and the total."""
    question, total = report.question, report.total
    zone = question.zone
    first = datetime.fromtimestamp(question.start_ms / 1000, zone).date()
    last = datetime.fromtimestamp(question.end_ms / 1000, zone).date() - timedelta(days=1)
    made = datetime.fromtimestamp(report.made_ms / 1000, zone)
    yield f"Spending in {month_title(question.name)}"
    state = "" if report.is_over else ", not over yet"
    yield f"{first} to {last}, {zone.key}{state}. Made {made:%Y-%m-%d %H:%M}."
    local = (
        f", {rounded(total.cost_local)} {currency} at the rates of the days" if has_currency(report, currency) else ""
    )
    requests = f"{total.requests} request{'' if total.requests == 1 else 's'}"
    yield f"Total: {usd(total.cost_pusd)} USD{local}. {requests}, {total.tokens} tokens."


def doubt_lines(report: MonthReport) -> Iterator[str]:
    """Yield what keeps the sums from being final."""
    rest = report.rest
    for count, text in (
        (rest.open, "still running: not in these sums"),
        (rest.pending, "waiting for the provider's figure: not in these sums"),
        (rest.flagged, "in these sums with a figure that is in doubt: see flags of the export"),
    ):
        if count:
            yield f"{count} request{'s' if count != 1 else ''} {text}."
