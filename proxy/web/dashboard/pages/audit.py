"""Audit: who changed what, the newest first, and whether the chain of entries is whole."""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from proxy.core.errors import CallerError
from proxy.web.dashboard.table import Column, Table
from proxy.web.dashboard.view import DashboardRequest, Page, View

_A_PAGE: Final = 50
_STATE_CHARS: Final = 2000
_FILTERS: Final = {"actor": "By", "action": "Action", "subject": "Of"}
_COLUMNS: Final = (
    Column("id", "No.", "count"),
    Column("at", "When", "time"),
    Column("actor", "By"),
    Column("source", "From"),
    Column("action", "Action"),
    Column("subject", "Of"),
    Column("before", "Before", "code"),
    Column("after", "After", "code"),
)


async def _show(request: DashboardRequest) -> Page:
    given = {name: request.query[name].strip() for name in _FILTERS if request.query.get(name, "").strip()}
    problem = None
    entries: list[Any] = []
    cursor: str | None = None
    try:
        if request.wants_csv is not None:
            entries = await request.api.all("/audit", given)
        else:
            place = {"limit": _A_PAGE, "cursor": request.query.get("cursor") or None}
            entries, cursor = await request.api.page("/audit", {**given, **place})
    except CallerError as error:  # a filter that is too long
        problem = error.message
    more = None if cursor is None else request.address(cursor=cursor)
    table = Table(
        "audit",
        "Changes",
        _COLUMNS,
        [_row(entry, is_whole=request.wants_csv is not None) for entry in entries],
        "No change passes these filters." if given else "Nothing has been changed yet.",
        is_paged_elsewhere=True,
        more=more,
    )
    found = await request.api.get("/audit/verification") if request.query.get("verify") == "yes" else None
    values = {"filters": _FILTERS, "given": given, "problem": problem, "verified": found}
    return Page("audit.html", values, (table,))


def _row(entry: Mapping[str, Any], *, is_whole: bool) -> Mapping[str, Any]:
    """Return an entry as it is shown: of what was there before and after only the part that differs, unless whole."""
    before, after = entry["before"], entry["after"]
    if before is not None and after is not None and not is_whole:
        same = {name for name in before if name in after and before[name] == after[name]}
        before, after = ({name: state[name] for name in state if name not in same} for state in (before, after))
    return {**entry, "before": _text(before), "after": _text(after)}


def _text(state: Mapping[str, Any] | None) -> str | None:
    return None if state is None else orjson.dumps(state).decode()[:_STATE_CHARS]


VIEWS = (View("GET", "/dashboard/audit", _show, "Audit"),)
