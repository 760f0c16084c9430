"""/admin/v1/usage: what was spent, by whom and on what; the same figures as tollkeeper usage."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field

from proxy.core.money import pusd_to_usd
from proxy.policy.exchange_rates import plain_text
from proxy.storage.reconciliation import HistorySum, days_between
from proxy.storage.refusals import REFUSAL_WORDS, RefusalSelection
from proxy.storage.reports import Reports
from proxy.storage.spending import (
    OTHERS,
    USAGE_WORDS,
    LateSum,
    SpendingRow,
    SpendingSums,
    UnsettledSum,
    UsageSelection,
    read_usage_words,
)
from proxy.storage.usage_part import read_usage_part
from proxy.storage.usage_series import read_usage_series, series_word
from proxy.web.admin.json_bytes import json_bytes, json_of_many
from proxy.web.admin.moment import MomentText, moment_text
from proxy.web.admin.period import PeriodFilter, invalid_query
from proxy.web.admin.route import AdminAnswer, AdminRequest, AdminRoute

_WHERE = ("group", "model", "provider", "use_case", "end_user", "token", "endpoint", "status")


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
    is_other: bool = Field(description="All keys beyond series at a time; its words, but for those of time, are empty.")
    refusals: int | None = Field(description="Refused requests of the same key; null where by has a word of none.")


class LateCost(BaseModel):
    """Costs of a reason and a source that became known late; they are in the sums."""

    reason: str
    source: str
    number: int
    amount_usd: str
    amount_pusd: int
    amount_local: str | None


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
    refusals, adjustments, open, pending and flagged are of the user and the time that were asked for.
    """

    by: list[str]
    since: MomentText | None
    until: MomentText | None
    timezone: str = Field(description="In which days, weeks and months begin.")
    currency: str
    rows: list[UsageRow]
    other: UsageFigures | None = Field(description="All rows beyond top; null where there are none.")
    total: UsageFigures
    refusals: int = Field(description="Requests that were refused, as far back as refusals are kept.")
    adjustments: list[LateCost]
    open: int
    pending: int
    flagged: int = Field(description="Requests in the sums whose figures are in doubt: see flags of the ledger.")
    history: list[ChargedBefore] | None = Field(description="In no sum; null where it was not asked for.")


class UsageFilter(PeriodFilter):
    """Which requests, and by what they are summed."""

    by: str = Field(default="user", description=f"Words of {', '.join(USAGE_WORDS)}, tag:NAME, with commas between.")
    user: str | None = None
    group: str | None = Field(default=None, description="Empty text: requests of no group; the same of other words.")
    model: str | None = Field(default=None, description="The model that answered; a pattern such as openai/*.")
    provider: str | None = None
    use_case: str | None = None
    end_user: str | None = None
    token: str | None = Field(default=None, description="The id of a token.")
    endpoint: str | None = None
    status: str | None = Field(default=None, description="The status that the client got, such as 200.")
    with_history: bool = Field(default=False, description="What was charged before the first request here, too.")
    sort: Literal["cost", "requests", "errors", "tokens", "name"] | None = Field(
        default=None, description="The most first, or by name; in place of times in order, then the dearest."
    )
    top: int | None = Field(
        default=None, ge=1, le=100_000, description="The first so many by sort, or the dearest; all others in other."
    )

    series: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="For a chart over time, with one word beside those of time in by, other than tag: the so many that"
        " cost the most in all, and all others of each time in one row.",
    )

    @property
    def where(self) -> dict[str, str]:
        """Return the words that have to have a value."""
        return {word: value for word in _WHERE if (value := getattr(self, word)) is not None}


class _Found(NamedTuple):
    sums: SpendingSums
    others: list[SpendingRow]  # beyond the series
    rest: UnsettledSum
    late: list[LateSum]
    refusals: Mapping[tuple[str, ...], int] | None  # by key
    refused: int
    history: list[HistorySum] | None


class _UsageAsked(NamedTuple):
    query: UsageFilter
    words: tuple[str, ...]
    bounds_ms: tuple[int | None, int | None]
    currency: str
    zone: ZoneInfo

    @property
    def is_long(self) -> bool:
        """Return whether to read it may take more than a moment: single rows, or sums of all by several words.

        A chart's are few, and pages ask for many of them at once.
        """
        query = self.query
        of_many = len(self.words) > 1 and query.series is None and query.user is None
        return of_many or UsageSelection((*self.words, *query.where)).needs_rows


async def _show(request: AdminRequest) -> AdminAnswer:
    query: UsageFilter = request.query
    snapshot = request.deps.services.live.current
    since_ms, until_ms = query.bounds_ms(snapshot.zone, request.now_ms)
    words, currency = _words(query.by), snapshot.settings.currency.code
    if query.series is not None:
        if query.top is not None or query.where:
            raise invalid_query("series", "send it, or top, or words that have to have a value")
        if series_word(words) is None:
            raise invalid_query(
                "series", "by needs one word other than tag, such as model or tag:NAME, beside those of time"
            )
    bounds = since_ms, until_ms
    asked = _UsageAsked(query, words, bounds, currency, snapshot.zone)
    if asked.is_long:
        return AdminAnswer(await request.read_long(_report_bytes, asked))
    return AdminAnswer(await request.read(_report_bytes, request.deps.services.reports, asked))


def _report_bytes(reports: Reports, asked: _UsageAsked) -> bytes:
    return json_bytes(_report(reports, asked))


def _report(reports: Reports, asked: _UsageAsked) -> dict[str, Any]:
    """Return the fields of UsageReport; of rows there may be a hundred thousand."""
    query, words, (since_ms, until_ms) = asked.query, asked.words, asked.bounds_ms
    found = _read(reports, asked)
    sums = found.sums if query.sort is None else found.sums.sorted_by(query.sort)
    rows, other = sums.top(query.top, query.sort or "cost")
    shown = (
        {
            "key": {word: "" if text == OTHERS else text for word, text in zip(words, row.key, strict=True)},
            "is_other": is_other,
            **_figures(row, sums.total),
            "refusals": None if is_other or found.refusals is None else found.refusals.get(row.key, 0),
        }
        for is_other, group in ((False, rows), (True, found.others))
        for row in group
    )
    return {
        "by": words,
        "since": moment_text(since_ms),
        "until": moment_text(until_ms),
        "timezone": asked.zone.key,
        "currency": asked.currency,
        "rows": json_of_many(shown),
        "other": None if other is None else _figures(other, sums.total),
        "total": _figures(sums.total, sums.total),
        "refusals": found.refused,
        "adjustments": list(map(late_json, found.late)),
        "open": found.rest.open,
        "pending": found.rest.pending,
        "flagged": found.rest.flagged,
        "history": None if found.history is None else [charged_json(one) for one in found.history],
    }


def _read(reports: Reports, asked: _UsageAsked) -> _Found:
    query, words, zone = asked.query, asked.words, asked.zone
    (since_ms, until_ms), user, where = asked.bounds_ms, query.user, query.where
    wanted = UsageSelection(words, since_ms, until_ms, user, reports.rates(asked.currency))
    refusals = reports.refusal_sums(RefusalSelection((), since_ms, until_ms, user), zone)
    by_key = None
    if set(words) <= set(REFUSAL_WORDS) and not where:
        counted = reports.refusal_sums(RefusalSelection(words, since_ms, until_ms, user), zone)
        by_key = {one.key: one.requests for one in counted}
    others: list[SpendingRow] = []
    if query.series is None:
        sums = read_usage_part(reports, wanted, where, zone)
    else:
        rows, others, total = read_usage_series(reports, wanted, query.series, zone)
        sums = SpendingSums(rows, total)
    return _Found(
        sums,
        others,
        reports.unsettled(since_ms=since_ms, until_ms=until_ms, user=user),
        reports.late_sums(wanted),
        by_key,
        sum(one.requests for one in refusals),
        reports.provider_history(*days_between(since_ms, until_ms)) if query.with_history else None,
    )


def late_json(one: LateSum) -> dict[str, Any]:
    """Return late costs as the fields of LateCost."""
    return {
        "reason": one.reason,
        "source": one.source,
        "number": one.number,
        "amount_usd": pusd_to_usd(one.pusd),
        "amount_pusd": one.pusd,
        "amount_local": None if one.local is None else plain_text(one.local),
    }


def charged_json(one: HistorySum) -> dict[str, Any]:
    """Return what was before the first request as the fields of ChargedBefore."""
    return {**one._asdict(), "cost_usd": pusd_to_usd(one.cost_pusd)}


def _words(by: str) -> tuple[str, ...]:
    try:
        return read_usage_words(by)
    except ValueError as error:
        raise invalid_query("by", error) from None


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
