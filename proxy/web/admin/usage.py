"""/admin/v1/usage: what was spent, by whom and on what; the same figures as tollkeeper usage."""

from typing import Any

from pydantic import BaseModel, Field

from proxy.core.errors import CallerError
from proxy.core.money import pusd_to_usd
from proxy.policy.exchange_rates import plain_text
from proxy.storage.reports import SpendingRow
from proxy.web.admin.moment import Moment, MomentText, moment_ms, moment_text
from proxy.web.admin.route import AdminAnswer, AdminQuery, AdminRequest, AdminRoute

_WORDS = ("user", "group", "model", "provider", "use_case", "day")


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


class UsageRow(UsageFigures):
    """Sums of one group of requests. key: a value for each word of by; empty text where a request has none."""

    key: dict[str, str]


class UsageReport(BaseModel):
    """Sums by what was asked for, dearest first, days in order. open, pending: requests that are in no sum yet."""

    by: list[str]
    since: MomentText | None
    until: MomentText | None
    currency: str
    rows: list[UsageRow]
    total: UsageFigures
    open: int
    pending: int
    flagged: int = Field(description="Requests in the sums whose figures are in doubt: see flags of the ledger.")


class UsageFilter(AdminQuery):
    """Which requests, and by what they are summed."""

    by: str = Field(default="user", description=f"Words of {', '.join(_WORDS)}, with commas between them.")
    user: str | None = None
    since: Moment | None = Field(default=None, description="Requests that began at this time or later.")
    until: Moment | None = Field(default=None, description="Requests that began before this time.")


async def _show(request: AdminRequest) -> AdminAnswer:
    query: UsageFilter = request.query
    words = _words(query.by)
    since_ms, until_ms = moment_ms(query.since), moment_ms(query.until)
    if since_ms is not None and until_ms is not None and since_ms >= until_ms:
        raise CallerError(400, "invalid_query", "until: it is not after since.", param="until")
    services = request.deps.services
    reports, snapshot = services.reports, services.live.current
    currency = snapshot.settings.currency

    def read() -> tuple[list[SpendingRow], dict[str, Any]]:
        spans: dict[str, Any] = {"since_ms": since_ms, "until_ms": until_ms}
        rest = reports.unsettled(**spans, user=query.user)
        counts = {"open": rest.open, "pending": rest.pending, "flagged": rest.flagged}
        rates = reports.rates(currency.code)
        return reports.usage_by(words, snapshot.zone, **spans, user=query.user, rates=rates), counts

    rows, counts = await request.read(read)
    report = {
        "by": words,
        "since": moment_text(since_ms),
        "until": moment_text(until_ms),
        "currency": currency.code,
        "rows": [{"key": dict(zip(words, row.key, strict=True)), **_figures(row)} for row in rows],
        "total": _figures(SpendingRow.total(rows)),
        **counts,
    }
    return AdminAnswer(report)


def _words(by: str) -> tuple[str, ...]:
    words = tuple(word.strip() for word in by.split(",") if word.strip())
    if not words or len(set(words)) < len(words) or set(words) - set(_WORDS):
        raise CallerError(400, "invalid_query", f"by: write some of {', '.join(_WORDS)}, each once.", param="by")
    return words


def _figures(row: SpendingRow) -> dict[str, Any]:
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
    }


ROUTES = (AdminRoute("GET", "/usage", _show, "Sum what was spent", UsageReport, query=UsageFilter),)
