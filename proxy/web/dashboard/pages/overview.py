"""Overview: what is spent, by whom and on what, what is wrong and what to do, in five seconds."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from markupsafe import Markup
from msgspec import Struct

from proxy.policy.time_segments import time_segments
from proxy.web.dashboard.charts.area import area
from proxy.web.dashboard.charts.bars import Share, bars
from proxy.web.dashboard.charts.figure import Chart
from proxy.web.dashboard.charts.series import Series, Writer
from proxy.web.dashboard.charts.shares import shares
from proxy.web.dashboard.charts.sparkline import sparkline
from proxy.web.dashboard.charts.time_axis import TimeAxis
from proxy.web.dashboard.charts.zoom import zoomable
from proxy.web.dashboard.cost_chart import time_word
from proxy.web.dashboard.figures import money_text, read_at, share_text, short_count_text
from proxy.web.dashboard.large_sums import PeriodSums, read_sums
from proxy.web.dashboard.pages.people import base_url_of
from proxy.web.dashboard.table import Column, Row, Table
from proxy.web.dashboard.view import DashboardRequest, Look, Page, View, address_of, below

_SERIES: Final = 6  # that are drawn, and all others as one
_TOP: Final = 5
_ATTENTION: Final = 4  # that are shown; the others have a page
_OLD_MS: Final = 300_000  # credits are asked for by the minute while anybody looks
_LIMITS: Final = 6
_BEGINNING: Final = 4  # a period is compared with one before that was used in its first quarter
_NONE: Final = "(none)"
_OTHER: Final = "other"
_PAGES: Final = {  # where a person goes on from what needs a look
    "limit_spent": "/dashboard/people",
    "limit_nearly_spent": "/dashboard/people",
    "limits_missing": "/dashboard/people",
    "user_without_token": "/dashboard/people",
    "no_user": "/dashboard/people",
    "provider_down": "/dashboard/routes",
    "model_down": "/dashboard/routes",
    "key_refused": "/dashboard/keys",
    "key_used_up": "/dashboard/keys",
    "credits_low": "/dashboard/account",
    "account_problem": "/dashboard/account",
    "provider_budget": "/dashboard/account",
    "drift": "/dashboard/account",
    "bill_unread": "/dashboard/account",
    "pending": "/dashboard/requests?state=pending",
    "stop": "/dashboard/stop",
    "alert": "/dashboard/alerts",
    "config_problem": "/dashboard/configuration",
    "row_unreadable": "/dashboard/configuration",
    "model_list": "/dashboard/models",
    "price_moved": "/dashboard/models",
}
_STATES: Final = {"critical": "bad", "warning": "warn", "notice": "off"}


class _Spending(Struct, frozen=True):
    """Sums of the period over time, by model and by person, and once by use case and by provider."""

    models: Mapping[str, Any]
    people: Mapping[str, Any]
    cases: Mapping[str, Any]
    providers: Mapping[str, Any]
    before: Mapping[str, Any]


class _Outlook(Struct, frozen=True):
    """What is ahead, sums of yesterday and today and of the last month and this one, and how models answered."""

    ahead: Mapping[str, Any]
    days: Mapping[str, Any]
    months: Mapping[str, Any]
    stats: Sequence[Mapping[str, Any]]


class _Now(NamedTuple):
    """How the proxy is doing, what needs a look, and which of the first steps are done where nothing was asked yet."""

    status: Mapping[str, Any]
    attention: Sequence[Mapping[str, Any]]
    is_new: bool
    begun: Mapping[str, bool]


async def _show(request: DashboardRequest) -> Page:
    if request.wants_csv is not None:
        return await _whole_tables(request)
    sums, status, attention = await asyncio.gather(
        overview_sums(request), request.api.get("/status"), request.api.all("/attention", most=1000)
    )
    spending, outlook = sums.value
    is_new = not (outlook.months["total"]["requests"] or spending.models["total"]["requests"])
    now = _Now(status, attention, is_new, await _begun(request) if is_new else {})
    return await asyncio.to_thread(_page, request, sums, now)


def _page(request: DashboardRequest, sums: PeriodSums[tuple[_Spending, _Outlook]], now: _Now) -> Page:
    """Compose the page, which takes longer than requests may wait."""
    spending, outlook = sums.value
    word, status = time_word(request), now.status
    labels, axis = _axis(request, word)
    values = {
        "status": status,
        "kept_from": sums.kept_from,
        "is_new": now.is_new,
        "begun": now.begun,
        "base_url": base_url_of(request),
        "total": spending.models["total"],
        "refused": spending.models["refusals"],
        "change": _change(request, spending, word),
        "sparks": _sparks(spending.models["rows"], labels, word),
        "yesterday_pusd": _before(outlook.days, status["today"]),
        "last_month_pusd": _before(outlook.months, status["this_month"]),
        "forecast": outlook.ahead["forecast"],
        "run_rate": outlook.ahead["run_rate"],
        "everyone": _everyone(status["limits"]),
        "latency": outlook.stats[0] if outlook.stats else None,
        "credits": _credits(status["providers"], request.now_ms),
        "attention": [_attention(one) for one in now.attention[:_ATTENTION]],
        "attention_count": len(now.attention),
        "charts": _charts(request, spending, labels, axis, word),
        "limits": [_limit(one) for one in status["limits"][:_LIMITS]],
        "limit_count": status["limit_count"],
    }
    return Page("overview.html", values, _tables(request, spending, labels, word))


async def _begun(request: DashboardRequest) -> Mapping[str, bool]:
    """Return which of the first steps are done: a model can be asked, somebody has a token."""
    keys, tokens = await request.api.all("/keys"), request.deps.services.live.current.directory.users()
    return {"key": any(not key["disabled"] and not key["management"] for key in keys), "user": bool(tokens)}


async def overview_sums(look: Look) -> PeriodSums[tuple[_Spending, _Outlook]]:
    """Return the sums of the period, by far the most of the work: those of a large ledger are kept for a while."""
    return await read_sums(look, "overview", lambda: _read_sums(look))


async def _read_sums(look: Look) -> tuple[_Spending, _Outlook]:
    api, period, word = look.api, look.period, time_word(look)
    within = {"since": period.since, "until": period.until}
    spending = asyncio.gather(
        api.get("/usage", {"by": f"{word},model", "series": _SERIES, **within}),
        api.get("/usage", {"by": f"{word},user", "series": _SERIES, **within}),
        api.get("/usage", {"by": "use_case", "top": _SERIES, **within}),
        api.get("/usage", {"by": "provider", "top": _SERIES, **within}),
        api.get("/usage", {"by": word, "since": period.before, "until": period.since}),
    )
    outlook = asyncio.gather(
        api.get("/projection", {"months": 12}),
        api.get("/usage", {"by": "day", "since": "yesterday"}),
        api.get("/usage", {"by": "month", "since": "last-month"}),
        api.get("/models/stats", {"by": "all", **within}),
    )
    return _Spending(*await spending), _Outlook(*await outlook)


async def _whole_tables(request: DashboardRequest) -> Page:
    """Return the tables with every row, to be written as CSV."""
    within = {"since": request.period.since, "until": request.period.until}
    models, people = await asyncio.gather(
        request.api.get("/usage", {"by": "model", **within}), request.api.get("/usage", {"by": "user", **within})
    )
    tables = (
        _table(request, "models", [_row(one["key"]["model"], one, "model", request) for one in models["rows"]]),
        _table(request, "people", [_row(one["key"]["user"], one, "user", request) for one in people["rows"]]),
    )
    return Page("overview.html", {}, tables)


def _axis(request: DashboardRequest, word: str) -> tuple[list[str], TimeAxis]:
    """Return the labels of the period's hours or days, as the API names them, and where they begin."""
    period, zone = request.period, request.zone
    pieces = list(time_segments(period.since_ms, period.until_ms, zone, (word,)))
    return [piece.labels[0] for piece in pieces], TimeAxis([piece.start_ms for piece in pieces], zone)


def _before(two: Mapping[str, Any], now: Mapping[str, Any]) -> int | None:
    """Return what the day or the month before the one that runs came to; None where nothing is known of it.

    two: sums of both, times in order; now: of the one that runs, by the status.
    """
    rows = two["rows"]
    is_over = len(rows) > 1 or (rows and now["requests"] == 0)
    before_pusd: int = rows[0]["cost_pusd"] if is_over else 0
    return before_pusd if before_pusd > 0 else None


def _change(request: DashboardRequest, spending: _Spending, word: str) -> str | None:
    """Return by how much spending differs from the period before; None where nothing was asked at its beginning."""
    now_pusd, before_pusd = spending.models["total"]["cost_pusd"], spending.before["total"]["cost_pusd"]
    period = request.period
    pieces = list(time_segments(period.before_ms, period.since_ms, request.zone, (word,)))
    known = {row["key"][word] for row in spending.before["rows"]}
    beginning = pieces[: max(1, len(pieces) // _BEGINNING)]
    if before_pusd <= 0 or not known.intersection(piece.labels[0] for piece in beginning):
        return None
    share = (now_pusd - before_pusd) / before_pusd
    return f"{'▲' if share > 0 else '▼' if share < 0 else '='} {share_text(abs(share))} on the period before"


def _sparks(rows: Sequence[Mapping[str, Any]], labels: Sequence[str], word: str) -> dict[str, Markup]:
    sums: dict[str, dict[str, int]] = {label: {"cost": 0, "requests": 0, "tokens": 0} for label in labels}
    for row in rows:
        at = sums.get(row["key"][word])
        if at is not None:
            at["cost"] += row["cost_pusd"]
            at["requests"] += row["requests"]
            at["tokens"] += row["input_tokens"] + row["output_tokens"]
    writers: dict[str, Writer] = {"cost": _money, "requests": _count, "tokens": _count}
    titles = {"cost": "Cost", "requests": "Requests", "tokens": "Tokens"}
    return {
        name: sparkline(f"{titles[name]} by {word}", [at[name] for at in sums.values()], write)
        for name, write in writers.items()
    }


def _money(pusd: float) -> str:
    return money_text(round(pusd))


def _count(number: float) -> str:
    return short_count_text(round(number))


def _everyone(limits: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return the limits on everyone's cost by their window."""
    return {
        one["window"]: one for one in limits if one["scope"] == "all" and one["kind"] == "cost" and not one["models"]
    }


class _CreditsLeft(NamedTuple):
    """What is left at all accounts together; age_ms: of the oldest figure, None where all are of these minutes."""

    pusd: int
    age_ms: int | None


def _credits(providers: Mapping[str, Mapping[str, Any]], now_ms: int) -> _CreditsLeft | None:
    told = {name: one for name, one in providers.items() if one["credits_left_pusd"] is not None}
    if not told:
        return None
    # of an account that several providers have it is left once, by what was heard of it last
    latest = {one["credits_of"]: one for one in sorted(told.values(), key=lambda one: str(one["credits_heard_at"]))}
    oldest_ms = min(round(read_at(one["credits_heard_at"]).timestamp() * 1000) for one in latest.values())
    age_ms = now_ms - oldest_ms
    return _CreditsLeft(sum(one["credits_left_pusd"] for one in latest.values()), age_ms if age_ms > _OLD_MS else None)


def _attention(one: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "state": _STATES[one["severity"]],
        "word": one["severity"],
        "text": one["text"],
        "since_at": one["since_at"],
        "todo": one["action"]["text"],
        "command": one["action"]["command"],
        "page": _page_of(one),
    }


def _page_of(one: Mapping[str, Any]) -> str | None:
    scope, _, rest = one["subject"].partition(":")
    if one["kind"].startswith("limit_") and scope == "user":  # "user:anna cost day"
        return below("people", rest.rsplit(" ", 2)[0])
    return _PAGES.get(one["kind"])


def _charts(
    request: DashboardRequest, spending: _Spending, labels: Sequence[str], axis: TimeAxis, word: str
) -> dict[str, Markup]:
    note = f"{request.period.title}, {request.zone.key}"
    series = [
        Series(
            _named(name), [costs.get(label) for label in labels], _link(request, "model", name), is_other=name is None
        )
        for name, costs in _by_name(spending.models["rows"], word, "model").items()
    ]
    return {
        "area": zoomable(
            area(Chart("cost", f"Cost by {word} and model", note), axis, series, _money),
            axis,
            series,
            "usd",
            stacked=True,
        ),
        "models": shares(
            Chart("by-model", "By model", note), _shares(request, spending.models["rows"], "model"), _money
        ),
        "people": shares(
            Chart("by-person", "By person", note), _shares(request, spending.people["rows"], "user"), _money
        ),
        "cases": bars(Chart("by-use-case", "By use case", note), _ranked(request, spending.cases, "use_case"), _money),
        "providers": bars(
            Chart("by-provider", "By provider", note), _ranked(request, spending.providers, "provider"), _money
        ),
    }


def _by_name(rows: Sequence[Mapping[str, Any]], word: str, kind: str) -> dict[str | None, dict[str, int]]:
    """Return the costs by time of each model or person; None: all others together."""
    found: dict[str | None, dict[str, int]] = {}
    for row in rows:
        name = None if row["is_other"] else row["key"][kind]
        found.setdefault(name, {})[row["key"][word]] = row["cost_pusd"]
    return found


def _named(name: str | None) -> str:
    return _OTHER if name is None else name or _NONE


def _shares(request: DashboardRequest, rows: Sequence[Mapping[str, Any]], kind: str) -> list[Share]:
    costs: dict[str | None, int] = {}
    for row in rows:
        name = None if row["is_other"] else row["key"][kind]
        costs[name] = costs.get(name, 0) + row["cost_pusd"]
    return [
        Share(_named(name), cost, _link(request, kind, name), is_other=name is None) for name, cost in costs.items()
    ]


def _ranked(request: DashboardRequest, sums: Mapping[str, Any], kind: str) -> list[Share]:
    found = [
        Share(_named(row["key"][kind]), row["cost_pusd"], _link(request, kind, row["key"][kind]))
        for row in sums["rows"]
    ]
    if sums["other"] is not None:
        found.append(Share(_OTHER, sums["other"]["cost_pusd"], is_other=True))
    return found


def _link(request: DashboardRequest, kind: str, name: str | None) -> str | None:
    """Return the page of a person or a model, or the requests of a provider or a use case in the period."""
    if not name:
        return None
    pages = {"user": "people", "model": "models"}
    if kind in pages:
        return address_of(below(pages[kind], name), {"period": request.query.get("period")})
    return address_of("/dashboard/requests", {kind: name, "since": request.period.since, "until": request.period.until})


def _tables(request: DashboardRequest, spending: _Spending, labels: Sequence[str], word: str) -> tuple[Table, Table]:
    return (
        _table(request, "models", _top_rows(request, spending.models, labels, word, "model")),
        _table(request, "people", _top_rows(request, spending.people, labels, word, "user")),
    )


def _top_rows(
    request: DashboardRequest, sums: Mapping[str, Any], labels: Sequence[str], word: str, kind: str
) -> list[Row]:
    """Return the dearest, each with how its cost went."""
    figures: dict[str, dict[str, int]] = {}
    for row in sums["rows"]:
        if not row["is_other"]:
            found = figures.setdefault(row["key"][kind], {})
            for name in ("requests", "errors", "input_tokens", "output_tokens", "cost_pusd"):
                found[name] = found.get(name, 0) + row[name]
    costs = _by_name(sums["rows"], word, kind)
    whole = sums["total"]["cost_pusd"]
    rows: list[Row] = []
    for name, found in sorted(figures.items(), key=lambda each: -each[1]["cost_pusd"])[:_TOP]:
        trend = sparkline(f"Cost by {word}", [costs[name].get(label) for label in labels], _money)
        share = found["cost_pusd"] / whole if whole > 0 else None
        rows.append({**_row(name, {**found, "share": share}, kind, request), "trend": trend})
    return rows


def _row(name: str, figures: Mapping[str, Any], kind: str, request: DashboardRequest) -> dict[str, Any]:
    share = figures["share"]
    return {
        "name": name or _NONE,
        "page": _link(request, kind, name),
        "requests": figures["requests"],
        "errors": figures["errors"],
        "input_tokens": figures["input_tokens"],
        "output_tokens": figures["output_tokens"],
        "cost_pusd": figures["cost_pusd"],
        "share": None if share is None else float(share),
    }


def _table(request: DashboardRequest, name: str, rows: list[Row]) -> Table:
    title, head = {"models": ("Top models", "Model"), "people": ("Who spends most", "Person")}[name]
    return Table(
        name,
        f"{title}, {request.period.title}",
        (
            Column("name", head, link="page"),
            Column("requests", "Requests", "count"),
            Column("errors", "Errors", "count"),
            Column("input_tokens", "Tokens in", "tokens"),
            Column("output_tokens", "Tokens out", "tokens"),
            Column("cost_pusd", "Cost", "money"),
            Column("share", "Share", "share"),
            Column("trend", "Trend", "markup"),
        ),
        rows,
        "Nothing was spent in this period.",
        sort="-cost_pusd",
    )


def _limit(one: Mapping[str, Any]) -> dict[str, Any]:
    scope, _, name = one["scope"].partition(":")
    is_money = one["kind"] == "cost"
    write: Writer = _money if is_money else _count
    used, reserved, limit = (one[f"{field}_pusd" if is_money else field] for field in ("used", "reserved", "limit"))
    whose = {"all": "Everyone", "user": name, "group": f"Group {name}", "use_case": f"Use case {name}"}.get(scope, name)
    unit = "" if is_money else f" {one['kind']}"
    window = "" if one["window"] in ("", "total") else f" per {one['window']}"
    return {
        "whose": whose,
        "page": below("people", name) if scope == "user" else None,
        "used": used,
        "reserved": reserved,
        "amount": limit,
        "text": f"{write(used)} of {write(limit)}{unit}{window}",
        "percent": one["percent_used"],
        "resets_at": one["resets_at"],
    }


async def _show_attention(request: DashboardRequest) -> Page:
    attention = await request.api.all("/attention", most=1000)
    return Page("attention.html", {"attention": list(map(_attention, attention))})


VIEWS = (
    View("GET", "/dashboard", _show, "Overview", has_period=True),
    View("GET", "/dashboard/attention", _show_attention, "Needs a look"),
)
