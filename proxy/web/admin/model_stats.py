"""/admin/v1/models/stats: how models answered, from the roll-up by hour."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from proxy.core.histogram import BOUNDS
from proxy.core.money import pusd_to_usd
from proxy.storage.performance import ModelPerformance, PerformanceFilter
from proxy.storage.reports import Reports
from proxy.web.admin.json_bytes import json_bytes
from proxy.web.admin.page import PageRequest
from proxy.web.admin.period import PeriodFilter
from proxy.web.admin.route import AdminAnswer, AdminRequest, AdminRoute

_SHARES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


class Percentiles(BaseModel):
    """What half of the answers, 90, 95 and 99 % do not exceed; read from a histogram, at most 19 % off."""

    p50: float
    p90: float
    p95: float
    p99: float


class HistogramBucket(BaseModel):
    """How many answers were at most at, and above that of the bucket before. at null: above all others."""

    at: float | None
    number: int


class ModelHistograms(BaseModel):
    """What percentiles are read from; buckets that hold nothing are left out."""

    latency_ms: list[HistogramBucket]
    first_token_ms: list[HistogramBucket]
    tokens_a_second: list[HistogramBucket]


class ModelStats(BaseModel):
    """How a model of a provider answered. Shares are from 0 to 1; null: nothing was counted."""

    provider: str
    model: str
    requests: int
    answered: int
    errors: int
    cancelled: int = Field(description="The client hung up: in no share.")
    fallbacks: int = Field(description="Answers that it gave in the place of another target.")
    success_share: float | None
    fallback_share: float | None = Field(description="Of its answers.")
    cost_usd: str = Field(description="With late corrections.")
    cost_pusd: int
    cost_a_request_usd: str | None
    cost_a_request_pusd: int | None
    latency_ms: Percentiles | None = Field(description="The time of a whole answer.")
    first_token_ms: Percentiles | None = Field(description="Of streamed answers.")
    tokens_a_second: Percentiles | None = Field(
        description="From the first token on; of a whole answer over all of it."
    )
    histograms: ModelHistograms | None = Field(description="Null where they were not asked for.")


class ModelStatsFilter(PeriodFilter):
    """Which requests, by the whole UTC hours in which they began."""

    by: Literal["model", "provider", "all"] = Field(
        default="model", description="provider: all models of one together, and all: everything; names are empty then."
    )
    histograms: bool = Field(default=False, description="Show what percentiles are read from.")
    model: str | None = Field(None, description="A pattern of a model, or of provider/model, such as openai/*.")


async def _list(request: AdminRequest) -> AdminAnswer:
    query: ModelStatsFilter = request.query
    zone = request.deps.services.live.current.zone
    wanted = PerformanceFilter(*query.bounds_ms(zone, request.now_ms), query.model, query.by)
    stats, cursor = await request.read_long(_page, wanted, request.page, query.histograms)
    return AdminAnswer(stats, cursor)


def _page(
    reports: Reports,
    wanted: PerformanceFilter,
    wanted_page: PageRequest,
    has_histograms: bool,
) -> tuple[bytes, str | None]:
    """Return a page of ModelStats as JSON, and the cursor of the next one."""
    page, cursor = wanted_page.of(reports.model_performance(wanted), lambda one: (one.provider, one.model))
    return json_bytes([_stats(one, histograms=has_histograms) for one in page]), cursor


def _stats(one: ModelPerformance, *, histograms: bool) -> dict[str, Any]:
    each_pusd = one.cost_a_request_pusd
    return {
        "provider": one.provider,
        "model": one.model,
        "requests": one.requests,
        "answered": one.sums.answered,
        "errors": one.errors,
        "cancelled": one.sums.cancelled,
        "fallbacks": one.sums.fallbacks,
        "success_share": one.success_share,
        "fallback_share": one.fallback_share,
        "cost_usd": pusd_to_usd(one.cost_pusd),
        "cost_pusd": one.cost_pusd,
        "cost_a_request_usd": None if each_pusd is None else pusd_to_usd(each_pusd),
        "cost_a_request_pusd": each_pusd,
        **{name: _percentiles(one, name) for name in ("latency_ms", "first_token_ms", "tokens_a_second")},
        "histograms": _histograms(one) if histograms else None,
    }


def _histograms(one: ModelPerformance) -> dict[str, Any]:
    return {
        "latency_ms": _buckets(one.histograms.latency, 1),
        "first_token_ms": _buckets(one.histograms.first_token, 1),
        "tokens_a_second": _buckets(one.histograms.speed, 100),
    }


def _buckets(counts: Sequence[int], unit: int) -> list[dict[str, Any]]:
    bounds = (*BOUNDS, None)
    return [
        {"at": None if bound is None else bound / unit, "number": number}
        for bound, number in zip(bounds, counts, strict=True)
        if number
    ]


def _percentiles(one: ModelPerformance, name: str) -> dict[str, float] | None:
    read = getattr(one, name)
    found = {word: value for word, share in _SHARES.items() if (value := read(share)) is not None}
    return {word: round(value, 2) for word, value in found.items()} or None


ROUTES = (
    AdminRoute(
        "GET", "/models/stats", _list, "Show how models answered", ModelStats, query=ModelStatsFilter, is_list=True
    ),
)
