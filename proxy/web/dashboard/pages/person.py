"""One user: limits, tokens, use by day and model, last requests, and what an admin may change of them."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from proxy.core.errors import CallerError
from proxy.web.dashboard.cost_chart import cost_chart, time_word
from proxy.web.dashboard.limit_gauges import limit_gauges
from proxy.web.dashboard.pages.people import LIMIT_HINT, base_url_of, typed_limit
from proxy.web.dashboard.pages.requests import requests_of
from proxy.web.dashboard.table import Column, Table
from proxy.web.dashboard.view import DashboardRequest, Page, Redirect, View, below

_MODELS: Final = (
    Column("model", "Model", link="link"),
    Column("cost", "Spent", "money"),
    Column("share", "Share", "share"),
    Column("requests", "Requests", "count"),
    Column("errors", "Errors", "count"),
    Column("input_tokens", "Tokens in", "tokens"),
    Column("output_tokens", "Tokens out", "tokens"),
)

_TOKENS: Final = (
    Column("id", "Token"),
    Column("hint", "Ends in"),
    Column("name", "Name"),
    Column("disabled", "Disabled"),
    Column("trusted", "Names end users"),
    Column("created_at", "Made", "time"),
    Column("expires_at", "Expires", "time"),
    Column("source", "Source"),
)


async def _show(request: DashboardRequest) -> Page:
    return await _page(request)


async def _page(request: DashboardRequest, problem: CallerError | None = None) -> Page:
    """Return a user's page; problem: why a change was not made."""
    api, name, period = request.api, request.path["name"], request.period
    user = await api.get(f"/users/{_in_path(name)}")
    query = {"since": period.since, "until": period.until, "user": name}
    report, by_time, requests, all_stops = await asyncio.gather(
        api.get("/usage", {"by": "model", **query}),
        api.get("/usage", {"by": time_word(request), **query}),
        requests_of(request, name),
        api.all("/stops"),
    )
    stops = [one for one in all_stops if (one["kind"], one["subject"]) == ("user", name)]
    tokens = await api.all("/tokens", {"user": name})
    values = {
        "user": user,
        "limits": limit_gauges(user["limits"]),
        "shared": limit_gauges(await _shared_limits(request, user["group"])),
        "given": request.form if problem else {},
        "own": {entry["id"] for entry in await api.all("/limits", {"scope": "user", "name": name})},
        "groups": [group["name"] for group in await api.all("/groups")],
        "stops": stops,
        "total": report["total"],
        "refusals": report["refusals"],
        "cost_chart": await asyncio.to_thread(cost_chart, request, by_time["rows"]),
        "problem": None if problem is None else problem.message,
        "limit_hint": LIMIT_HINT,
        "here": below("people", name),
        "requests_link": f"/dashboard/requests?user={quote(name, safe='')}",
        "stop_link": f"/dashboard/stop?kind=user&subject={quote(name, safe='')}",
    }
    status = 200 if problem is None else problem.status
    return Page("person.html", values, (_models(report), requests, _tokens(tokens)), status=status, title=name)


async def _shared_limits(request: DashboardRequest, group: str | None) -> list[Mapping[str, Any]]:
    """Return the limits that a member of a group shares with others: of the group, of those above it, of everyone."""
    found: list[Mapping[str, Any]] = []
    names: set[str] = set()
    while group is not None and group not in names:
        names.add(group)
        entry = await request.api.get(f"/groups/{_in_path(group)}")
        found.extend(entry["limits"])
        group = entry["settings"].get("parent")
    return [*found, *await request.api.all("/limits", {"scope": "all"})]


def _models(report: Mapping[str, Any]) -> Table:
    rows = [
        {
            **row,
            "model": row["key"]["model"] or "no model answered",
            "link": below("models", row["key"]["model"]) if row["key"]["model"] else None,
            "cost": row["cost_pusd"],
            "share": None if row["share"] is None else float(row["share"]),
        }
        for row in report["rows"]
    ]
    return Table("models", "By model", _MODELS, rows, "No request in this period.", "-cost")


def _tokens(tokens: Sequence[Mapping[str, Any]]) -> Table:
    """Return the tokens as the CSV has them, without any secret; the page shows them with what can be done."""
    words = {True: "yes", False: "no"}
    rows = [{**one, "disabled": words[one["disabled"]], "trusted": words[one["trusted"]]} for one in tokens]
    return Table("tokens", "Tokens", _TOKENS, rows, "", is_paged_elsewhere=True)


def _in_path(name: str) -> str:
    return quote(name, safe="")


async def _change(request: DashboardRequest) -> Page | Redirect:
    """Change the group, or disable and enable."""
    name, form = request.path["name"], request.form
    changes: dict[str, Any] = {}
    if "group" in form:
        changes["group"] = form["group"] or None
    if form.get("disabled") in ("yes", "no"):
        changes["disabled"] = form["disabled"] == "yes"
    words = {"yes": f"{name} is disabled: every request is refused.", "no": f"{name} is enabled again."}
    return await _done(
        request,
        lambda: request.api.patch(f"/users/{_in_path(name)}", changes),
        words.get(form.get("disabled", ""), f"{name} was changed."),
    )


async def _done(request: DashboardRequest, change: Any, note: str) -> Page | Redirect:
    """Make a change; what the API refuses is shown on the user's page."""
    try:
        await change()
    except CallerError as error:
        return await _page(request, error)
    return Redirect(below("people", request.path["name"]), note)


async def _add_limit(request: DashboardRequest) -> Page | Redirect:
    name = request.path["name"]

    async def add() -> None:
        kind, text = typed_limit(request.form.get("limit", ""))
        await request.api.post("/limits", {"scope": "user", "name": name, "kind": kind, "limit": text})

    return await _done(request, add, "The limit is in force.")


async def _remove_limit(request: DashboardRequest) -> Page | Redirect:
    limit_id = request.form.get("id", "")
    return await _done(request, lambda: request.api.delete(f"/limits/{_in_path(limit_id)}"), "The limit is removed.")


async def _add_token(request: DashboardRequest) -> Page | Redirect:
    """Make a token and show it, this once."""
    name, form = request.path["name"], request.form
    body: dict[str, Any] = {"user": name, "trusted": form.get("trusted") == "yes"}
    if form.get("token_name", "").strip():
        body["name"] = form["token_name"].strip()
    try:
        made = await request.api.post("/tokens", body)
    except CallerError as error:
        return await _page(request, error)
    return _token_page(request, made)


async def _rotate_token(request: DashboardRequest) -> Page | Redirect:
    token_id = request.path["id"]
    try:
        made = await request.api.post(f"/tokens/{_in_path(token_id)}/rotate", {"overlap_s": 3600})
    except CallerError as error:
        return await _page(request, error)
    return _token_page(request, made)


def _token_page(request: DashboardRequest, made: Mapping[str, Any]) -> Page:
    name = request.path["name"]
    return Page("token.html", {"made": made, "user": name, "base_url": base_url_of(request)}, title=f"Token of {name}")


async def _change_token(request: DashboardRequest) -> Page | Redirect:
    """Disable, enable or remove a token."""
    token_id, word = request.path["id"], request.form.get("do", "")
    path = f"/tokens/{_in_path(token_id)}"
    if word == "remove":
        return await _done(request, lambda: request.api.delete(path), f"Token {token_id} is removed.")
    changes = {"disabled": word == "disable"}
    return await _done(request, lambda: request.api.patch(path, changes), f"Token {token_id} is {word}d.")


VIEWS = (
    View("GET", "/dashboard/people/{name}", _show, "User", has_period=True),
    View("POST", "/dashboard/people/{name}", _change, "User", has_period=True),
    View("POST", "/dashboard/people/{name}/limits", _add_limit, "User", has_period=True),
    View("POST", "/dashboard/people/{name}/limits/remove", _remove_limit, "User", has_period=True),
    View("POST", "/dashboard/people/{name}/tokens", _add_token, "User", has_period=True),
    View("POST", "/dashboard/people/{name}/tokens/{id}/rotate", _rotate_token, "User", has_period=True),
    View("POST", "/dashboard/people/{name}/tokens/{id}", _change_token, "User", has_period=True),
)
