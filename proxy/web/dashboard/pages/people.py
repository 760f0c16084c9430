"""People: groups and users with their limits, who spent most, and the form that adds a user."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, get_args

from proxy.config.limit_text import split_limit
from proxy.core.errors import CallerError
from proxy.web.admin.users import UserSort
from proxy.web.dashboard.limit_gauges import limit_gauges
from proxy.web.dashboard.table import Column, Table
from proxy.web.dashboard.view import DashboardRequest, Page, Redirect, View, below

A_PAGE: Final = 50
_DEAREST: Final = 10
_SORTS: Final = get_args(UserSort)
LIMIT_HINT: Final = "Such as $5/day, $50/month, tokens=1M/day or 60/minute."
_USERS: Final = (
    Column("name", "User"),
    Column("group", "Group"),
    Column("state", "State"),
    Column("limits", "Limits"),
    Column("tokens", "Tokens", "count"),
)
_GROUPS: Final = (
    Column("name", "Group"),
    Column("parent", "Part of"),
    Column("members", "Members", "count"),
    Column("limits", "Limits"),
)
_SPENT: Final = (
    Column("user", "User", link="link"),
    Column("cost", "Spent", "money"),
    Column("share", "Share", "share"),
    Column("requests", "Requests", "count"),
    Column("errors", "Errors", "count"),
)


async def _show(request: DashboardRequest) -> Page:
    return await _page(request)


async def _page(request: DashboardRequest, problem: CallerError | None = None) -> Page:
    """Return all people; problem: why a user could not be added, with what was typed still in the form."""
    query = {name: request.query.get(name) or None for name in ("q", "group", "cursor")}
    sort = request.query.get("users.sort")
    query["sort"] = sort if sort in _SORTS else None
    if request.wants_csv == "users":
        users, cursor = await request.api.all("/users", {**query, "cursor": None}), None
    else:
        users, cursor = await request.api.page("/users", {**query, "limit": A_PAGE})
    groups, stops = await request.api.all("/groups"), await request.api.all("/stops")
    period = request.period
    spent = await request.api.get(
        "/usage", {"since": period.since, "until": period.until, "by": "user", "top": _DEAREST}
    )
    stopped = {stop["subject"] for stop in stops if stop["kind"] == "user" and stop["effect"] == "stop"}
    values = {
        "groups": groups,
        "query": query,
        "next_page": request.address(cursor=cursor) if cursor else None,
        "problem": None if problem is None else problem.message,
        "given": request.form if problem else {},
        "limit_hint": LIMIT_HINT,
    }
    tables = (_dearest(spent), _users(users, stopped), _groups(groups))
    return Page("people.html", values, tables, status=200 if problem is None else problem.status)


def _dearest(report: Mapping[str, Any]) -> Table:
    """Return the table of who spent most in the period."""
    rows = [
        {
            "user": row["key"]["user"],
            "link": below("people", row["key"]["user"]),
            "cost": row["cost_pusd"],
            "share": None if row["share"] is None else float(row["share"]),
            "requests": row["requests"],
            "errors": row["errors"],
        }
        for row in report["rows"]
    ]
    return Table("spent", "Who spent most", _SPENT, rows, "Nobody has spent anything in this period.", "-cost")


def _users(users: Sequence[Mapping[str, Any]], stopped: Collection[str]) -> Table:
    """Return users; as CSV their columns, on the page with bars."""
    rows = [{**user, "state": _state(user, stopped), **_limits(user["limits"])} for user in users]
    return Table("users", "Users", _USERS, rows, "", is_paged_elsewhere=True, is_sorted_elsewhere=True)


def _state(user: Mapping[str, Any], stopped: Collection[str]) -> str:
    if user["name"] in stopped:
        return "stopped"
    return "disabled" if user["disabled"] else "expired" if user["expired"] else "active"


def _groups(groups: Sequence[Mapping[str, Any]]) -> Table:
    """Return all groups; as CSV their columns, on the page with bars."""
    rows = [
        {
            "name": group["name"],
            "parent": group["settings"].get("parent"),
            "members": len(group["members"]),
            **_limits(group["limits"]),
        }
        for group in groups
    ]
    return Table("groups", "Groups", _GROUPS, rows, "", is_paged_elsewhere=True)


def _limits(limits: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return limits as bars, and on one line: $8/day ($0.50 used, $7.50 left), requests 60/minute (0 used, 60 left)."""
    figures = limit_gauges(limits)
    words = (f"{one.text} ({one.words})" if one.is_known else one.text for one in figures)
    return {"figures": figures, "limits": ", ".join(words)}


async def _add_user(request: DashboardRequest) -> Page | Redirect:
    """Add a user; with a token, which the page of the user shows this once."""
    form = request.form
    name = form.get("name", "").strip()
    body: dict[str, Any] = {"name": name, "settings": {}}
    if form.get("group", "").strip():
        body["group"] = form["group"].strip()
    try:
        if form.get("limit", "").strip():
            kind, text = typed_limit(form["limit"])
            body["settings"] = {"limits": {kind: text}}
        if form.get("token") == "yes":
            body["token"] = {}
        made = await request.api.post("/users", body)
    except CallerError as error:
        return await _page(request, error)
    if "token" not in body:
        return Redirect(below("people", name), f"{name} was added, without a token.")
    return Page("token.html", {"made": made, "user": name, "base_url": base_url_of(request)}, title=f"Token of {name}")


def typed_limit(text: str) -> tuple[str, str]:
    """Return the kind and the rest of a limit that somebody typed; raises CallerError that says how to write it."""
    try:
        return split_limit(text)
    except ValueError as error:
        raise CallerError(422, "invalid_field", str(error), param="limit") from None


def base_url_of(request: DashboardRequest) -> str:
    """Return the base URL for clients, as this browser reaches the proxy."""
    headers = request.context.downstream.request_headers.headers
    scheme = "https" if headers.get("X-Forwarded-Proto", "").strip().lower() == "https" else "http"
    return f"{scheme}://{headers.get('Host', 'localhost')}/v1"


async def _add_group(request: DashboardRequest) -> Page | Redirect:
    form = request.form
    body: dict[str, Any] = {"name": form.get("group_name", "").strip(), "settings": {}}
    try:
        if form.get("group_limit", "").strip():
            kind, text = typed_limit(form["group_limit"])
            body["settings"] = {"limits": {kind: text}}
        await request.api.post("/groups", body)
    except CallerError as error:
        return await _page(request, error)
    return Redirect("/dashboard/people", f"Group {body['name']} was added.")


VIEWS = (
    View("GET", "/dashboard/people", _show, "People", has_period=True),
    View("POST", "/dashboard/people", _add_user, "People", has_period=True),
    View("POST", "/dashboard/groups", _add_group, "People", has_period=True, page="/dashboard/people"),
)
