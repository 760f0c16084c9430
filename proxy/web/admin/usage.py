"""/admin/v1/usage: what was spent, by whom and on what; the same figures as tollkeeper usage."""

from typing import Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field

from proxy.core.errors import CallerError
from proxy.core.money import pusd_to_usd
from proxy.policy.exchange_rates import plain_text
from proxy.policy.period import read_moment, read_month
from proxy.storage.reconciliation import HistorySum, days_between
from proxy.storage.spending import (
    USAGE_WORDS,
    SpendingRow,
    SpendingSums,
    UnsettledSum,
    UsageSelection,
    read_usage_words,
)
from proxy.web.admin.moment import MomentText, moment_text
from proxy.web.admin.route import AdminAnswer, AdminQuery, AdminRequest, AdminRoute

_MOMENT = "ISO-8601, or such as 7d, today, this-month, 2026-11; without an offset it is the configured zone"


class UsageFigures(BaseModel):
    """Sums of requests that have ended. Those of parts are within input_tokens and output_tokens."""

    requests: int
    errors: int
    input_tokens: int
    output_tokens: int
    parts: dict[str, int] = Field(description="cached_tokens, reasoning_tokens and other classes of tokens.")
    cost_usd: str
    cost_pusd: int
    cost_local: str | None = Field(
        description="In the currency of the configuration, each day by its own rate; null where none is known."
    )
    share: str | None = Field(description="Of the cost of all, from 0 to 1.")
    cached_share: str | None = Field(description="Of the input, from 0 to 1.")
    usd_per_request: str | None
    usd_per_1k_tokens: str | None


class UsageRow(UsageFigures):
    """Sums of one group of requests. key: a value for each word of by; empty text where a request has none."""

    key: dict[str, str]


class ChargedBefore(BaseModel):
    """What a provider charged for a model before the first request here, by its own word; null: not told."""

    provider: str
    model: str
    requests: int | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: str
    cost_pusd: int


class UsageReport(BaseModel):
    """Sums by what was asked for, times in order, then the dearest first.

    open, pending: requests that are in no sum yet. By tag a request counts under each of its tags, once in total.
    """

    by: list[str]
    since: MomentText | None
    until: MomentText | None
    currency: str
    rows: list[UsageRow]
    other: UsageFigures | None = Field(description="All rows beyond top; null where there are none.")
    total: UsageFigures
    open: int
    pending: int
    flagged: int = Field(description="Requests in the sums whose figures are in doubt: see flags of the ledger.")
    history: list[ChargedBefore] | None = Field(description="In no sum; null where it was not asked for.")


class UsageFilter(AdminQuery):
    """Which requests, and by what they are summed."""

    by: str = Field(default="user", description=f"Words of {', '.join(USAGE_WORDS)}, tag:NAME, with commas between.")
    user: str | None = None
    since: str | None = Field(default=None, description=f"Requests that began at this time or later: {_MOMENT}.")
    until: str | None = Field(default=None, description="Requests that began before this time.")
    month: str | None = Field(default=None, description="In place of both: 2026-11, this-month, last-month.")
    with_history: bool = Field(default=False, description="What was charged before the first request here, too.")
    top: int | None = Field(default=None, ge=1, le=100_000, description="The dearest so many; all others in other.")


async def _show(request: AdminRequest) -> AdminAnswer:
    query: UsageFilter = request.query
    services = request.deps.services
    reports, snapshot = services.reports, services.live.current
    words = _words(query.by)
    since_ms, until_ms = _period(query, snapshot.zone, request.now_ms)
    currency = snapshot.settings.currency

    def read() -> tuple[SpendingSums, UnsettledSum, list[HistorySum] | None]:
        rates = reports.rates(currency.code)
        rest = reports.unsettled(since_ms=since_ms, until_ms=until_ms, user=query.user)
        history = reports.provider_history(*days_between(since_ms, until_ms)) if query.with_history else None
        return reports.usage(UsageSelection(words, since_ms, until_ms, query.user, rates), snapshot.zone), rest, history

    sums, rest, history = await request.read(read)
    rows, other = sums.top(query.top)
    report = {
        "by": words,
        "since": moment_text(since_ms),
        "until": moment_text(until_ms),
        "currency": currency.code,
        "rows": [{"key": dict(zip(words, row.key, strict=True)), **_figures(row, sums.total)} for row in rows],
        "other": None if other is None else _figures(other, sums.total),
        "total": _figures(sums.total, sums.total),
        "open": rest.open,
        "pending": rest.pending,
        "flagged": rest.flagged,
        "history": None if history is None else [_charged(one) for one in history],
    }
    return AdminAnswer(report)


def _charged(one: HistorySum) -> dict[str, Any]:
    return {**one._asdict(), "cost_usd": pusd_to_usd(one.cost_pusd)}


def _words(by: str) -> tuple[str, ...]:
    try:
        return read_usage_words(by)
    except ValueError as error:
        raise _invalid("by", error) from None


def _period(query: UsageFilter, zone: ZoneInfo, now_ms: int) -> tuple[int | None, int | None]:
    """Return the bounds that a query asks for; raises CallerError 400."""
    if query.month is not None:
        if query.since is not None or query.until is not None:
            raise _invalid("month", "send it, or since and until")
        try:
            return read_month(query.month, zone, now_ms)
        except ValueError as error:
            raise _invalid("month", error) from None
    bounds: dict[str, int | None] = {"since": None, "until": None}
    for name, text in (("since", query.since), ("until", query.until)):
        try:
            bounds[name] = None if text is None else read_moment(text, zone, now_ms)
        except ValueError as error:
            raise _invalid(name, error) from None
    since_ms, until_ms = bounds["since"], bounds["until"]
    if since_ms is not None and until_ms is not None and since_ms >= until_ms:
        raise _invalid("until", "it is not after since")
    return since_ms, until_ms


def _invalid(field: str, problem: object) -> CallerError:
    return CallerError(400, "invalid_query", f"{field}: {str(problem).rstrip('.')}.", param=field)


def _figures(row: SpendingRow, total: SpendingRow) -> dict[str, Any]:
    return {
        "requests": row.requests,
        "errors": row.errors,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "parts": {
            "cached_tokens": row.cached_tokens,
            "reasoning_tokens": row.reasoning_tokens,
            **row.counts._asdict(),
        },
        "cost_usd": pusd_to_usd(row.cost_pusd),
        "cost_pusd": row.cost_pusd,
        "cost_local": None if row.cost_local is None else plain_text(row.cost_local),
        **row.ratios(total),
    }


ROUTES = (AdminRoute("GET", "/usage", _show, "Sum what was spent", UsageReport, query=UsageFilter),)
