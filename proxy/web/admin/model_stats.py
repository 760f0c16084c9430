"""/admin/v1/models/stats: how models answered, from the roll-up by hour."""

from typing import Any

from pydantic import BaseModel, Field

from proxy.core.errors import CallerError
from proxy.core.money import pusd_to_usd
from proxy.policy.period import read_moment
from proxy.storage.performance import ModelPerformance, PerformanceFilter
from proxy.web.admin.route import AdminAnswer, AdminQuery, AdminRequest, AdminRoute

_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


class Percentiles(BaseModel):
    """What half of the answers, 95 and 99 % of them do not exceed; read from a histogram, at most 19 % off."""

    p50: float
    p95: float
    p99: float


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


class ModelStatsFilter(AdminQuery):
    """Which requests, by the whole UTC hours in which they began."""

    since: str | None = Field(None, description="ISO-8601, or such as 7d or today; its hour counts.")
    until: str | None = Field(None, description="Requests that began before this time, by hours.")
    model: str | None = Field(None, description="A pattern of a model, or of provider/model, such as openai/*.")


async def _list(request: AdminRequest) -> AdminAnswer:
    query: ModelStatsFilter = request.query
    zone = request.deps.services.live.current.zone
    bounds: dict[str, int | None] = {}
    for name, text in (("since", query.since), ("until", query.until)):
        try:
            bounds[name] = None if text is None else read_moment(text, zone, request.now_ms)
        except ValueError as error:
            raise _invalid(name, error) from None
    wanted = PerformanceFilter(bounds["since"], bounds["until"], query.model)
    found = await request.read(request.deps.services.reports.model_performance, wanted)
    page, cursor = request.page.of(found, lambda one: (one.provider, one.model))
    return AdminAnswer(list(map(_stats, page)), cursor)


def _invalid(field: str, problem: object) -> CallerError:
    return CallerError(400, "invalid_query", f"{field}: {str(problem).rstrip('.')}.", param=field)


def _stats(one: ModelPerformance) -> dict[str, Any]:
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
    }


def _percentiles(one: ModelPerformance, name: str) -> dict[str, float] | None:
    read = getattr(one, name)
    found = {word: value for word, share in _SHARES.items() if (value := read(share)) is not None}
    return {word: round(value, 2) for word, value in found.items()} or None


ROUTES = (
    AdminRoute(
        "GET", "/models/stats", _list, "Show how models answered", ModelStats, query=ModelStatsFilter, is_list=True
    ),
)
