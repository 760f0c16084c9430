"""Sessions: who is logged in, with what and from where, and the button that logs them out."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from markupsafe import Markup

from proxy.web.admin.route import Role
from proxy.web.dashboard.browser_name import browser_name
from proxy.web.dashboard.form_keys import new_form_key
from proxy.web.dashboard.table import Column, Table
from proxy.web.dashboard.view import DashboardRequest, Page, Redirect, View

_LOGINS: Final = {
    "operator": "own token",
    "admin_token": "admin_token",
    "code": "code of the command line",
    "user": "user's token",
}
_COLUMNS: Final = (
    Column("name", "Name"),
    Column("audience", "Sees"),
    Column("login", "Logged in with"),
    Column("address", "From", "code"),
    Column("browser", "Browser"),
    Column("created_at", "Since", "time"),
    Column("seen_at", "Last seen", "time"),
    Column("state", "State", "state"),
)
_END: Final = Column("end", "Log out", "markup")
_BUTTON: Final = Markup(
    '<form method="post" action="/dashboard/sessions/{}/end"><input type="hidden" name="form_key" value="{}">'
    '<button class="quiet" aria-label="Log out {}">Log out</button></form>'
)


async def _show(request: DashboardRequest) -> Page:
    is_admin = request.session.role >= Role.ADMIN
    rows = [_row(request, entry, is_admin=is_admin) for entry in await request.api.all("/sessions")]
    columns = (*_COLUMNS, _END) if is_admin else _COLUMNS
    note = "A session ends after 12 hours without use, after 7 days at most, and with the token that it came from."
    table = Table("sessions", "Who is logged in", columns, rows, "Nobody is logged in.", sort="-seen_at", note=note)
    return Page("sessions.html", tables=(table,))


def _row(request: DashboardRequest, entry: Mapping[str, Any], *, is_admin: bool) -> Mapping[str, Any]:
    is_own = entry["id"] == request.session.id
    row = {
        **entry,
        "audience": "the dashboard" if entry["audience"] == "operator" else "their own page",
        "login": _LOGINS[entry["login"]] + (f" {entry['token']}" if entry["token"] else ""),
        "browser": browser_name(entry["browser"]),
        "state": ("ok", "this one") if is_own else ("off", "open"),
    }
    if is_admin:
        key = new_form_key(request.session)
        row["end"] = _BUTTON.format(quote(entry["id"], safe=""), key, f"{entry['name']}, {entry['address']}")
    return row


async def _end(request: DashboardRequest) -> Redirect:
    ended = await request.api.delete(f"/sessions/{quote(request.path['id'], safe='')}")
    return Redirect("/dashboard/sessions", f"{ended['name']} is logged out of that browser.")


VIEWS = (
    View("GET", "/dashboard/sessions", _show, "Sessions"),
    View("POST", "/dashboard/sessions/{id}/end", _end, "Log out"),
)
