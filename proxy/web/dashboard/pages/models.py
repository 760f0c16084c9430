"""Models: how they answered and what they cost in a period, which is cheapest for a job, and all that may be asked."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from markupsafe import Markup

from proxy.core.errors import CallerError
from proxy.core.money import usd_to_pusd
from proxy.policy.model_choice import NEEDS
from proxy.policy.time_segments import time_segments
from proxy.web.dashboard.admin_calls import Query
from proxy.web.dashboard.charts.area import area
from proxy.web.dashboard.charts.figure import Chart
from proxy.web.dashboard.charts.percentiles import Spread, percentiles
from proxy.web.dashboard.charts.series import DRAWN, OTHER, Number, Series
from proxy.web.dashboard.charts.time_axis import TimeAxis
from proxy.web.dashboard.charts.zoom import zoomable
from proxy.web.dashboard.cost_chart import time_word, write_money
from proxy.web.dashboard.figures import duration_text
from proxy.web.dashboard.large_sums import read_sums
from proxy.web.dashboard.pages.people import base_url_of
from proxy.web.dashboard.table import Column, Table
from proxy.web.dashboard.view import DashboardRequest, Page, View, below

_MOST_SPREADS: Final = 8
_ROWS: Final = 25  # of each table: three of them are on a page
_NEEDS: Final = {name: words for name, words in NEEDS.items() if name != "text"}  # every chat model writes text
_STATS: Final = (
    Column("name", "Model", link="page"),
    Column("cost", "Cost", "money"),
    Column("share", "Share", "share"),
    Column("requests", "Requests", "count"),
    Column("each", "A request", "money"),
    Column("answered", "Answered", "share", hint="Of requests that were not cancelled by the client."),
    Column("fallbacks", "Fallbacks", "count", hint="Answers that it gave in the place of another target."),
    Column("first_token", "First token", "duration", hint="Half of the streamed answers began within this time."),
    Column("first_token_95", "First token p95", "duration"),
    Column("latency", "Answer", "duration", hint="Half of the answers were whole within this time."),
    Column("latency_95", "Answer p95", "duration"),
    Column("speed", "Tokens a second", "count", hint="Of half of the answers, from the first token on."),
)
_LIST: Final = (
    Column("name", "Model", link="page"),
    Column("state", "State", "state"),
    Column("price", "$ per M tokens", "money", hint="Three of input to one of output, with all fees."),
    Column("request_price", "A request", "money", hint="What each request costs on top."),
    Column("context", "Context", "tokens"),
    Column("output", "Longest answer", "tokens"),
    Column("abilities", "Can do"),
    Column("provider", "Provider"),
)
_RANKED: Final = (
    Column("name", "Model", link="page"),
    Column("cost", "The job costs", "money"),
    Column("price", "$ per M tokens", "money", hint="Three of input to one of output, with all fees."),
    Column("context", "Context", "tokens"),
    Column("latency", "First token", "duration", hint="Recently."),
    Column("errors", "Failed", "share", hint="Of recent attempts."),
    Column("rank", "Best for the money", "count", hint="Its place by price, speed and reliability together."),
    Column("reasons", "Why"),
)


async def _show(request: DashboardRequest) -> Page:
    entries, sums = await asyncio.gather(
        request.api.all("/models"), read_sums(request, "models", lambda: _read_sums(request))
    )
    asked = {name: request.query.get(name, "").strip() for name in ("context", "max_price", "user")}
    needs = [name for name in _NEEDS if request.query.get(f"need_{name}")]
    found, problem = None, None
    if needs or any(asked.values()) or request.query.get("find"):
        found, problem = await _recommended(request, needs, asked)
    values = {
        "kept_from": sums.kept_from,
        "needs": _NEEDS,
        "chosen": needs,
        "asked": asked,
        "found": found,
        "problem": problem,
    }
    return await asyncio.to_thread(_page, request, entries, sums.value, values)


def _page(
    request: DashboardRequest,
    entries: Sequence[Mapping[str, Any]],
    sums: tuple[list[Any], Mapping[str, Any]],
    values: Mapping[str, Any],
) -> Page:
    """Compose the page, which takes longer than requests may wait."""
    stats, spent = sums
    names = {(one["figures"]["provider"], one["figures"]["model"]): one["name"] for one in entries if one["figures"]}
    more = {
        "cost_chart": _cost_chart(request, spent),
        "first_tokens": _spreads(request, stats, names),
        "has_stats": bool(stats),
        "first_request": _first_request(request, entries),
    }
    found: Mapping[str, Any] | None = values["found"]
    tables = (_stats(stats, names), _list(entries), _ranked([] if found is None else found["models"]))
    return Page("models.html", {**values, **more}, tables)


def _first_request(request: DashboardRequest, entries: Sequence[Mapping[str, Any]]) -> str:
    """Return a command that asks a model for a first answer."""
    model = next((one["name"] for one in entries if one["enabled"] and one["listed"]), "openai/gpt-5-mini")
    body = orjson.dumps({"model": model, "messages": [{"role": "user", "content": "Hello!"}]}).decode()
    quoted = body.replace("'", "'\\''")
    return f"curl {base_url_of(request)}/chat/completions -H 'Authorization: Bearer tk-...' -d '{quoted}'"


async def _recommended(
    request: DashboardRequest, needs: Sequence[str], asked: Mapping[str, str]
) -> tuple[Mapping[str, Any] | None, str | None]:
    """Return the models that can do a job, or why that cannot be said."""
    query = {name: text or None for name, text in asked.items()}
    try:
        return await request.api.get("/models/recommendations", {**query, "needs": ",".join(needs) or None}), None
    except CallerError as error:
        return None, error.message


async def _read_sums(request: DashboardRequest) -> tuple[list[Any], Mapping[str, Any]]:
    """Return how models answered in the period, and what the dearest cost in each day or hour of it."""
    within = {"since": request.period.since, "until": request.period.until}
    spent: Query = {"by": f"{time_word(request)},model", "series": DRAWN - 1, **within}
    stats, report = await asyncio.gather(request.api.all("/models/stats", within), request.api.get("/usage", spent))
    return stats, report


def _cost_chart(request: DashboardRequest, report: Mapping[str, Any]) -> Markup:
    period, zone, word = request.period, request.zone, time_word(request)
    costs: dict[str | None, dict[str, int]] = {}  # None: all others together
    for row in report["rows"]:
        costs.setdefault(None if row["is_other"] else row["key"]["model"], {})[row["key"][word]] = row["cost_pusd"]
    pieces = list(time_segments(period.since_ms, period.until_ms, zone, (word,)))
    axis = TimeAxis([piece.start_ms for piece in pieces], zone)
    labels = [piece.labels[0] for piece in pieces]
    series = [
        Series(
            OTHER if name is None else name or "(no model answered)",
            [by_time.get(label, 0) for label in labels],
            is_other=name is None,
        )
        for name, by_time in costs.items()
    ]
    chart = Chart("cost-by-model", f"Cost by {word}", f"{period.title}, {zone.key}")
    return zoomable(area(chart, axis, series, write_money), axis, series, "usd", stacked=True)


def _spreads(
    request: DashboardRequest, stats: Sequence[Mapping[str, Any]], names: Mapping[tuple[str, str], str]
) -> Markup:
    """Return how soon the models that were asked most began to answer."""
    timed = sorted((one for one in stats if one["first_token_ms"]), key=lambda one: -one["requests"])[:_MOST_SPREADS]
    spreads = [
        Spread(
            _name(one, names),
            one["first_token_ms"]["p50"],
            one["first_token_ms"]["p95"],
            one["first_token_ms"]["p99"],
            _page_of(one, names),
        )
        for one in timed
    ]
    note = f"p50 · p95 · p99, of those asked most, {request.period.title}"
    return percentiles(Chart("first-token", "Time to the first token", note), spreads, write_ms)


def _stats(stats: Sequence[Mapping[str, Any]], names: Mapping[tuple[str, str], str]) -> Table:
    whole = sum(one["cost_pusd"] for one in stats)
    rows = [
        {
            "name": _name(one, names),
            "page": _page_of(one, names),
            "cost": one["cost_pusd"],
            "share": one["cost_pusd"] / whole if whole > 0 else None,
            "requests": one["requests"],
            "each": one["cost_a_request_pusd"],
            "answered": one["success_share"],
            "fallbacks": one["fallbacks"],
            "first_token": _percentile(one, "first_token_ms", "p50"),
            "first_token_95": _percentile(one, "first_token_ms", "p95"),
            "latency": _percentile(one, "latency_ms", "p50"),
            "latency_95": _percentile(one, "latency_ms", "p95"),
            "speed": _percentile(one, "tokens_a_second", "p50"),
        }
        for one in stats
    ]
    return Table("stats", "How models answered", _STATS, rows, "No request in this period.", "-cost", page_size=_ROWS)


def _name(one: Mapping[str, Any], names: Mapping[tuple[str, str], str]) -> str:
    """Return a model as callers write it; one that is listed no longer with its provider."""
    return names.get((one["provider"], one["model"])) or f"{one['provider']}/{one['model']}"


def _page_of(one: Mapping[str, Any], names: Mapping[tuple[str, str], str]) -> str | None:
    name = names.get((one["provider"], one["model"]))
    return None if name is None else below("models", name)


def _percentile(one: Mapping[str, Any], figure: str, share: str) -> float | None:
    found: Mapping[str, float] | None = one[figure]
    return None if found is None else found[share]


def _list(entries: Sequence[Mapping[str, Any]]) -> Table:
    rows = [{"name": one["name"], "page": below("models", one["name"]), **_entry(one)} for one in entries]
    empty = "No model is listed yet: tollkeeper doctor tries the providers and says what is wrong."
    return Table("list", "All models", _LIST, rows, empty, "name", page_size=_ROWS)


def _entry(one: Mapping[str, Any]) -> dict[str, Any]:
    figures = one["figures"] or {}
    price = figures.get("usd_per_million_tokens")
    return {
        "state": state_of(one),
        "price": None if price is None else usd_as_pusd(price),
        "request_price": one["request_price_pusd"],
        "context": figures.get("context_tokens"),
        "output": figures.get("output_tokens"),
        "abilities": abilities_text(figures.get("abilities", {})),
        "provider": figures.get("provider"),
    }


def _ranked(models: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        {
            "name": one["name"],
            "page": below("models", one["name"]),
            "cost": one["cost_pusd"],
            "price": None if one["usd_per_million_tokens"] is None else usd_as_pusd(one["usd_per_million_tokens"]),
            "context": one["context_tokens"],
            "latency": one["latency_ms"],
            "errors": one["error_rate"],
            "rank": one["rank"],
            "reasons": ", ".join(one["reasons"]),
        }
        for one in models
    ]
    return Table(
        "cheapest",
        "What can do it, the cheapest first",
        _RANKED,
        rows,
        "None can do all of it.",
        "cost",
        page_size=_ROWS,
    )


def state_of(one: Mapping[str, Any]) -> tuple[str, str]:
    """Return the state of a model of the list, for a badge."""
    if not one["enabled"]:
        return "off", "disabled"
    return ("ok", "enabled") if one["listed"] else ("off", "not listed")


def abilities_text(abilities: Mapping[str, bool | None]) -> str:
    """Return what a model can do by its list."""
    return ", ".join(name for name, can in abilities.items() if can and name != "text")


def usd_as_pusd(text: str) -> int:
    """Return a price of the API in pico-USD, for columns of money."""
    pusd, _ = usd_to_pusd(text)
    return pusd


def write_ms(value: Number) -> str:
    """Return a length of time of a chart."""
    return duration_text(value)


VIEWS = (View("GET", "/dashboard/models", _show, "Models", has_period=True),)
