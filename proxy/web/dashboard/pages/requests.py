"""Requests: a list that goes on by itself, filtered by the address, refusals too."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from proxy.core.errors import CallerError
from proxy.core.paced import paced
from proxy.web.dashboard.large_sums import read_sums
from proxy.web.dashboard.period import read_period
from proxy.web.dashboard.table import Column, Table
from proxy.web.dashboard.view import DashboardRequest, Fragment, Page, View, address_of, below

_A_PAGE: Final = 50
_SORT: Final = "requests.sort"
_LAST: Final = 15  # requests on a user's own page
FILTERS: Final = {
    "user": "User",
    "group": "Group",
    "model": "Model",
    "provider": "Provider",
    "status": "Status",
    "state": "State",
    "use_case": "Use case",
    "session": "Session",
    "text": "Error holds",
    "min_cost_usd": "Costs at least (USD)",
    "since": "Since",
    "until": "Until",
}
HINTS: Final = {
    "model": "openai/*",
    "status": "429, 5xx, ok, error",
    "since": "1h, today, 2026-11-01",
    "min_cost_usd": "0.10",
    "text": "quota",
}
STATES: Final = ("open", "pending", "settled", "released", "refused")
_COLUMNS: Final = (
    Column("started_at", "Begun", "time", link="link"),
    Column("user", "User", link="user_link"),
    Column("model", "Model"),
    Column("provider", "Provider"),
    Column("status", "Answer", "state"),
    Column("cost_pusd", "Cost", "money"),
    Column("tokens", "Tokens", "tokens"),
    Column("ttft_ms", "First token", "duration"),
    Column("duration_ms", "Took", "duration"),
    Column("use_case", "Use case"),
)


async def _show(request: DashboardRequest) -> Page:
    """Return the page; without a place in the list it follows what comes."""
    filters, problem = _filters(request), None
    try:
        table = await _table(request)
    except CallerError as error:  # a filter that is not understood: what was typed stays in the form
        if request.wants_csv is not None:
            raise
        table, problem = _table_of([], None, "Nothing was looked for."), error
    is_newest = "cursor" not in request.query
    sort = {_SORT: request.query.get(_SORT)}
    users = [row["key"]["user"] for row in (await _usual(request, "user"))]
    models = [row["key"]["model"] for row in (await _usual(request, "model")) if row["key"]["model"]]
    values = {
        "filters": FILTERS,
        "hints": HINTS,
        "states": STATES,
        "given": filters,
        "problem": None if problem is None else problem.message,
        "users": users,
        "models": models,
        "live": address_of("/dashboard/requests/rows", {**filters, **sort}) if is_newest and problem is None else None,
        "newest": address_of("/dashboard/requests", filters),
    }
    return Page("requests.html", values, (table,), status=200 if problem is None else problem.status)


async def _usual(request: DashboardRequest, word: str) -> list[Any]:
    """Return who, or what, was asked for most in the last days: what a filter suggests."""

    async def read() -> list[Any]:
        since = read_period("7d", request.zone, request.now_ms).since  # whole days: no row is read for them
        report = await request.api.get("/usage", {"by": word, "since": since, "top": 50, "sort": "requests"})
        found: list[Any] = report["rows"]
        return found

    return (await read_sums(request, f"requests by {word}", read)).value


async def _rows(request: DashboardRequest) -> Fragment:
    return Fragment("requests_rows.html", tables=(await _table(request),))


def _filters(request: DashboardRequest) -> Mapping[str, str]:
    return {name: request.query[name].strip() for name in FILTERS if request.query.get(name, "").strip()}


async def _table(request: DashboardRequest) -> Table:
    query = _filters(request)
    if request.wants_csv is not None:
        entries, cursor = await request.api.all("/requests", query), None
    else:
        place = {"limit": _A_PAGE, "cursor": request.query.get("cursor") or None}
        entries, cursor = await request.api.page("/requests", {**query, **place})
    page = {name: value for name, value in request.query.items() if name in (*FILTERS, "cursor", _SORT)}
    older = None if cursor is None else address_of("/dashboard/requests", {**page, "cursor": cursor})
    empty = (
        "No request passes these filters."
        if query
        else "No request has come yet. Point a client here: the first page of the proxy shows how, with your token."
    )
    return await asyncio.to_thread(_table_of, entries, older, empty)  # as CSV up to 100,000


def _table_of(entries: Sequence[Mapping[str, Any]], older: str | None, empty: str) -> Table:
    rows = [_row(one) for one in paced(entries)]
    return Table("requests", "Requests", _COLUMNS, rows, empty, is_paged_elsewhere=True, more=older)


async def requests_of(request: DashboardRequest, user: str) -> Table:
    """Return the last requests of a user, refused ones too, for the user's page; as CSV all of them."""
    if request.wants_csv == "requests":
        entries = await request.api.all("/requests", {"user": user})
    else:
        entries, _ = await request.api.page("/requests", {"user": user, "limit": _LAST})
    more = address_of("/dashboard/requests", {"user": user})
    return await asyncio.to_thread(_table_of_user, entries, more if len(entries) == _LAST else None)


def _table_of_user(entries: Sequence[Mapping[str, Any]], more: str | None) -> Table:
    columns = [column for column in _COLUMNS if column.key != "user"]
    rows = [_row(one) for one in paced(entries)]
    return Table(
        "requests", "Last requests", columns, rows, "No request has come yet.", is_paged_elsewhere=True, more=more
    )


def _row(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    tokens = (entry["input_tokens"] or 0) + (entry["output_tokens"] or 0)
    return {
        **entry,
        "link": below("requests", entry["id"]),
        "user_link": below("people", entry["user"]) if entry["user"] else None,
        "model": entry["model"] or entry["requested_model"],
        "status": answer_state(entry),
        "tokens": tokens if entry["input_tokens"] is not None else None,
    }


def answer_state(entry: Mapping[str, Any]) -> tuple[str, str]:
    """Return how a request has ended, as a state: its kind and words."""
    status, error = entry["status"], entry["error"]
    if entry["state"] == "open":
        return "off", "running"
    words = f"{status} {error}" if error else str(status)
    if entry["state"] == "refused":
        return "warn", f"refused: {words}" + (f", and {entry['more']} alike" if entry["more"] else "")
    if status is None or status >= 500:
        return "bad", words
    if status >= 300:
        return "warn", words
    return ("warn", f"{words}, cost pending") if entry["state"] == "pending" else ("ok", words)


VIEWS = (
    View("GET", "/dashboard/requests", _show, "Requests"),
    View("GET", "/dashboard/requests/rows", _rows, "Requests", page="/dashboard/requests", is_fragment=True),
)
