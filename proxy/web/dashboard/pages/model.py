"""One model: what is known of it, how it answered in a period, and what an admin may change of it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from markupsafe import Markup

from proxy.core.errors import CallerError
from proxy.core.histogram import BOUNDS
from proxy.web.dashboard.charts.figure import Chart
from proxy.web.dashboard.charts.histogram import ValueMark, histogram
from proxy.web.dashboard.cost_chart import cost_chart, time_word
from proxy.web.dashboard.figures import count_text, duration_text
from proxy.web.dashboard.large_sums import read_sums
from proxy.web.dashboard.pages.models import abilities_text, state_of, usd_as_pusd, write_ms
from proxy.web.dashboard.table import Column, Table
from proxy.web.dashboard.view import DashboardRequest, Page, Redirect, View, address_of, below

_NOT_FOUND: Final = 404
_PEOPLE: Final = (
    Column("user", "Who", link="page"),
    Column("cost", "Spent", "money"),
    Column("share", "Share", "share"),
    Column("requests", "Requests", "count"),
    Column("errors", "Errors", "count"),
    Column("input_tokens", "Tokens in", "tokens"),
    Column("output_tokens", "Tokens out", "tokens"),
)


async def _show(request: DashboardRequest) -> Page | Redirect:
    try:
        return await _page(request)
    except CallerError as error:
        if error.status != _NOT_FOUND:
            raise
        return Redirect(await _elsewhere(request, error))


async def _elsewhere(request: DashboardRequest, error: CallerError) -> str:
    """Return where a model is found that the ledger names as its provider does: its page, else its requests.

    Raises the error where nobody has asked for it.
    """
    name = request.path["name"]
    entries = await request.api.all("/models")
    pages = [entry["name"] for entry in entries if entry["figures"] and entry["figures"]["model"] == name]
    if len(pages) == 1:
        return address_of(below("models", pages[0]), request.query)
    asked, _ = await request.api.page("/requests", {"model": _exactly(name), "limit": 1})
    if not asked:
        raise error
    return address_of("/dashboard/requests", {"model": _exactly(name)})


async def _page(request: DashboardRequest, problem: CallerError | None = None) -> Page:
    """Return a model's page; problem: why a change was not made."""
    name, period = request.path["name"], request.period
    entry = await request.api.get(f"/models/{quote(name, safe='')}")
    figures, within = entry["figures"], {"since": period.since, "until": period.until}
    word = time_word(request)
    model = _exactly(figures["model"] if figures else name)

    async def read() -> tuple[Mapping[str, Any] | None, Mapping[str, Any]]:
        stats = None if figures is None else await _stats(request, figures, within)
        return stats, await request.api.get("/usage", {"by": word, "model": model, **within})

    sums = await read_sums(request, f"model {name}", read)
    stats, spent = sums.value
    people = None
    if request.query.get("people") or request.wants_csv == "people":  # of millions of requests that takes seconds
        people = (await request.api.get("/usage", {"by": "user", "model": model, **within}))["rows"]
    values = {
        "entry": entry,
        "typed": None if problem is None else request.form.get("request_price"),
        "kept_from": sums.kept_from,
        "figures": figures,
        "state": state_of(entry),
        "price_pusd": usd_as_pusd(figures["usd_per_million_tokens"])
        if figures and figures["usd_per_million_tokens"] is not None
        else None,
        "abilities": abilities_text(figures["abilities"]) if figures else "",
        "total": spent["total"],
        "stats": stats,
        "cost_chart": cost_chart(request, spent["rows"]),
        "latency_chart": None if stats is None else _latency_chart(request, stats),
        "here": below("models", name),
        "people_link": None if people is not None else f"{request.address(people='yes')}#people",
        "requests_link": address_of("/dashboard/requests", {"model": name}),
        "stop_link": address_of("/dashboard/stop", {"kind": "model", "subject": name}),
        "problem": None if problem is None else problem.message,
    }
    status = 200 if problem is None else problem.status
    return Page("model.html", values, (_people(people or []),), status=status, title=name)


def _exactly(model: str) -> str:
    """Return the pattern that only this model fits."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in model)


async def _stats(
    request: DashboardRequest, figures: Mapping[str, Any], within: Mapping[str, str]
) -> Mapping[str, Any] | None:
    """Return how the model of a provider answered; None where it was not asked."""
    pattern = f"{figures['provider']}/{_exactly(figures['model'])}"
    found = await request.api.all("/models/stats", {**within, "model": pattern, "histograms": True})
    wanted = (figures["provider"], figures["model"])
    return next((one for one in found if (one["provider"], one["model"]) == wanted), None)


def _latency_chart(request: DashboardRequest, stats: Mapping[str, Any]) -> Markup:
    """Return how long answers took: until the first token where they were streamed, else the whole of them."""
    figure = "first_token_ms" if stats["first_token_ms"] else "latency_ms"
    title = {"first_token_ms": "Time to the first token", "latency_ms": "Time of a whole answer"}[figure]
    bounds, counts = buckets_of(stats["histograms"][figure])
    found: Mapping[str, float] = stats[figure] or {}
    marks = [
        ValueMark(f"{share} {duration_text(found[share])}", found[share]) for share in ("p50", "p95") if share in found
    ]
    return histogram(
        Chart("latency", title, request.period.title),
        bounds,
        counts,
        write_ms,
        lambda count: count_text(int(count)),
        marks,
    )


def buckets_of(buckets: Sequence[Mapping[str, Any]]) -> tuple[list[float], list[int]]:
    """Return the bounds and counts of a histogram from its first bucket that holds something to the last.

    buckets: of the API, which leaves out those that hold nothing; the last of all has no bound, and is drawn as the
    one before.
    """
    ends = [*map(float, BOUNDS), 2.0 * BOUNDS[-1]]
    numbers = {ends[-1] if bucket["at"] is None else float(bucket["at"]): bucket["number"] for bucket in buckets}
    places = [place for place, end in enumerate(ends) if numbers.get(end)]
    if not places:
        return [], []
    first, last = places[0], places[-1]
    return [ends[first - 1] if first else 0.0, *ends[first : last + 1]], [
        numbers.get(end, 0) for end in ends[first : last + 1]
    ]


def _people(rows: Sequence[Mapping[str, Any]]) -> Table:
    found = [
        {
            "user": row["key"]["user"] or "(nobody)",
            "page": below("people", row["key"]["user"]) if row["key"]["user"] else None,
            "cost": row["cost_pusd"],
            "share": None if row["share"] is None else float(row["share"]),
            **{name: row[name] for name in ("requests", "errors", "input_tokens", "output_tokens")},
        }
        for row in rows
    ]
    return Table("people", "Who used it", _PEOPLE, found, "Nobody in this period.", "-cost")


async def _change(request: DashboardRequest) -> Page | Redirect:
    """Enable or disable a model, or change what each request costs on top."""
    name, form = request.path["name"], request.form
    changes: dict[str, Any] = {}
    note = f"{name} was changed."
    if form.get("enabled") in ("yes", "no"):
        changes["enabled"] = form["enabled"] == "yes"
        note = f"{name} may be asked again." if changes["enabled"] else f"{name} is disabled: nobody may ask it."
    if "request_price" in form:
        changes["request_price"] = form["request_price"].strip() or None
    try:
        await request.api.patch(f"/models/{quote(name, safe='')}", changes)
    except CallerError as error:
        return await _page(request, error)
    return Redirect(below("models", name), note)


VIEWS = (
    View("GET", "/dashboard/models/{name}", _show, "Model", has_period=True),
    View("POST", "/dashboard/models/{name}", _change, "Change a model"),
)
