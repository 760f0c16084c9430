"""Configuration: each setting with where it comes from, what is wrong with the file, and what was before."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from proxy.core.errors import ApiError
from proxy.web.dashboard.table import Column, Table
from proxy.web.dashboard.view import DashboardRequest, Page, Redirect, View

_HERE: Final = "/dashboard/configuration"
_PAST_SHOWN: Final = 20
_TEXT_CHARS: Final = 500
_COLUMNS: Final = (
    Column("setting", "Setting", "code"),
    Column("value", "Value", "code"),
    Column("source", "From"),
    Column("place", "Where"),
)
_SOURCES: Final = ("file", "environment", "flag", "database", "default")


async def _show(request: DashboardRequest) -> Page:
    return await _page(request)


async def _page(request: DashboardRequest, problem: ApiError | None = None) -> Page:
    """Return the settings in force; problem: why the file was not taken just now."""
    source = request.query.get("source") if request.query.get("source") in _SOURCES else None
    has_users = request.query.get("users") == "yes"
    entry = await request.api.get("/configuration", {"source": source, "users": has_users})
    past, _ = await request.api.page("/configuration/history", {"limit": _PAST_SHOWN})
    values = {
        "entry": entry,
        "past": past,
        "problem": entry["problem"] if problem is None else problem.message,
        "sources": _SOURCES,
        "source": source,
        "has_users": has_users,
    }
    return Page("configuration.html", values, (_settings(entry["settings"]),), status=200 if problem is None else 422)


def _settings(settings: Sequence[Mapping[str, Any]]) -> Table:
    rows = [{**one, "value": _text(one["value"])} for one in settings]
    return Table("settings", "Settings in force", _COLUMNS, rows, "No setting comes from there.")


def _text(value: object) -> str:
    """Return a value as a person writes it: a text as it is, all else as JSON."""
    return (value if isinstance(value, str) else orjson.dumps(value).decode())[:_TEXT_CHARS]


async def _reload(request: DashboardRequest) -> Page | Redirect:
    try:
        loaded = await request.api.post("/configuration/reload")
    except ApiError as error:
        return await _page(request, error)
    return Redirect(_HERE, "The file is in force." if loaded["changed"] else "The file has not changed.")


VIEWS = (
    View("GET", _HERE, _show, "Configuration"),
    View("POST", "/dashboard/configuration/reload", _reload, "Configuration"),
)
