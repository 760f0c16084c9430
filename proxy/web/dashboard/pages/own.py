"""/me: a user's own page: limits, use by day and model, last requests, and how a program is set up.

The operator's API is asked as a viewer, who may read of everybody: each question here names the user of the session.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from proxy.core.limit_kinds import BY_NAME
from proxy.pipeline.values.identity import Identity
from proxy.policy.quota import LimitRow
from proxy.policy.time_segments import time_segments
from proxy.web.dashboard.charts.area import area
from proxy.web.dashboard.charts.bars import Share
from proxy.web.dashboard.charts.figure import Chart
from proxy.web.dashboard.charts.series import Series
from proxy.web.dashboard.charts.shares import shares
from proxy.web.dashboard.charts.time_axis import TimeAxis
from proxy.web.dashboard.figures import count_text, money_text
from proxy.web.dashboard.pages.people import base_url_of
from proxy.web.dashboard.pages.requests import answer_state
from proxy.web.dashboard.sessions import identity_of
from proxy.web.dashboard.table import Column, Table
from proxy.web.dashboard.view import DashboardRequest, Page, View

_A_PAGE: Final = 20
_EXAMPLE: Final = "openai/gpt-5-mini"
_NO_MODEL: Final = "no model answered"
_SCOPES: Final = {"user": "You", "group": "Your group", "all": "Everyone together", "use_case": "Use case"}
_MODELS: Final = (
    Column("model", "Model"),
    Column("cost", "Spent", "money"),
    Column("share", "Share", "share"),
    Column("requests", "Requests", "count"),
    Column("errors", "Errors", "count"),
    Column("input_tokens", "Tokens in", "tokens"),
    Column("output_tokens", "Tokens out", "tokens"),
)
_REQUESTS: Final = (
    Column("started_at", "Begun", "time"),
    Column("model", "Model"),
    Column("status", "Answer", "state"),
    Column("cost_pusd", "Cost", "money"),
    Column("input_tokens", "Tokens in", "tokens"),
    Column("output_tokens", "Tokens out", "tokens"),
    Column("duration_ms", "Took", "duration"),
    Column("use_case", "Use case"),
    Column("id", "Id", "code"),
)


async def _show(request: DashboardRequest) -> Page:
    identity, period = identity_of(request.session, request.deps), request.period
    word = "hour" if period.word == "24h" else "day"
    query = {"user": identity.user, "since": period.since, "until": period.until}
    by_time, by_model, requests, limits = await asyncio.gather(
        request.api.get("/usage", {"by": f"{word},model", **query}),
        request.api.get("/usage", {"by": "model", **query}),
        _requests(request, identity.user),
        request.deps.services.limiter.limits(identity.allowance.all_quotas, request.now_ms),
    )
    values = {
        "identity": identity,
        "limits": [_limit(row) for row in limits],
        "stopped": _stopped(request, identity),
        "total": by_model["total"],
        "refused": by_model["refusals"],
        "area": _area(request, by_time["rows"], word),
        "shares": _shares(request, by_model["rows"]),
        "base_url": base_url_of(request),
        "model": _example(identity, by_model["rows"]),
    }
    return Page("own.html", values, (_models(by_model["rows"]), requests))


def _stopped(request: DashboardRequest, identity: Identity) -> str | None:
    """Return what a request of theirs would be told now, where the operator has stopped them."""
    services = request.deps.services
    if not services.stops.active:
        return None
    refusal = services.stops.refusal_of(identity, services.live.current, None)
    return None if refusal is None else refusal.message.removesuffix(" Operator: tollkeeper stops")


def _limit(row: LimitRow) -> dict[str, Any]:
    write = money_text if BY_NAME[row.kind].unit == "money" else count_text
    return {
        "text": _words(row),
        "used": row.used,
        "reserved": row.reserved,
        "amount": row.limit,
        "used_text": write(row.used),
        "reserved_text": write(row.reserved),
        "amount_text": write(row.limit),
        "left_text": write(row.remaining),
        "resets_at": row.resets_at_ms,
    }


def _words(row: LimitRow) -> str:
    """Return a limit in words, as in You: cost per day, of openai/*."""
    kind, _, name = row.scope.partition(":")
    whose = _SCOPES.get(kind, kind) + (f" {name}" if kind in ("group", "use_case") else "")
    window = f" per {row.window}" if row.window else ""
    models = f", of {', '.join(row.models)}" if row.models else ""
    return f"{whose}: {row.kind}{window}{models}"


def _area(request: DashboardRequest, rows: list[Mapping[str, Any]], word: str) -> Any:
    period, zone = request.period, request.zone
    pieces = list(time_segments(period.since_ms, period.until_ms, zone, (word,)))
    costs: dict[str, dict[str, int]] = {}
    for row in rows:
        costs.setdefault(row["key"]["model"] or _NO_MODEL, {})[row["key"][word]] = row["cost_pusd"]
    series = [Series(name, [of.get(piece.labels[0]) for piece in pieces]) for name, of in costs.items()]
    axis = TimeAxis([piece.start_ms for piece in pieces], zone)
    chart = Chart("own-cost", f"Spent by {word} and model", f"{period.title}, {zone.key}")
    return area(chart, axis, series, _money)


def _shares(request: DashboardRequest, rows: list[Mapping[str, Any]]) -> Any:
    chart = Chart("own-models", "Spent by model", f"{request.period.title}, {request.zone.key}")
    return shares(chart, [Share(row["key"]["model"] or _NO_MODEL, row["cost_pusd"]) for row in rows], _money)


def _money(pusd: float) -> str:
    return money_text(round(pusd))


def _models(rows: list[Mapping[str, Any]]) -> Table:
    shown = [
        {
            **row,
            "model": row["key"]["model"] or _NO_MODEL,
            "cost": row["cost_pusd"],
            "share": None if row["share"] is None else float(row["share"]),
        }
        for row in rows
    ]
    return Table("models", "By model", _MODELS, shown, "No request in this period.", "-cost")


async def _requests(request: DashboardRequest, user: str) -> Table:
    """Return the last requests, refused ones too."""
    if request.wants_csv is not None:
        entries, cursor = await request.api.all("/requests", {"user": user}), None
    else:
        place = {"limit": _A_PAGE, "cursor": request.query.get("cursor") or None}
        entries, cursor = await request.api.page("/requests", {"user": user, **place})
    rows = [
        {**entry, "model": entry["model"] or entry["requested_model"], "status": answer_state(entry)}
        for entry in entries
    ]
    older = None if cursor is None else f"{request.address(cursor=cursor)}#requests"
    empty = "No request has come from you yet: the snippets below show how to make one."
    return Table("requests", "Last requests", _REQUESTS, rows, empty, is_paged_elsewhere=True, more=older)


def _example(identity: Identity, rows: list[Mapping[str, Any]]) -> str:
    """Return a model for the snippets: what a request without one gets, what was used most, or a usual one."""
    preferences = identity.allowance.preferences
    used: list[str] = [row["key"]["model"] for row in rows if row["key"]["model"]]
    named = [] if preferences is None or preferences.model is None else [preferences.model]
    allowed = [name for name in (*named, *used, _EXAMPLE) if identity.allowance.allows(name)]
    exact = [name for name in identity.allowance.models or () if "*" not in name]
    return (*allowed, *exact, _EXAMPLE)[0]


VIEWS = (View("GET", "/me", _show, "Your own page", audience="user", has_period=True),)
