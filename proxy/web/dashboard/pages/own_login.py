"""/me/logins: where a user is logged in, and when the token that they hold ends."""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from markupsafe import Markup

from proxy.core.errors import CallerError
from proxy.web.dashboard.browser_name import browser_name
from proxy.web.dashboard.form_keys import new_form_key
from proxy.web.dashboard.open_sessions import OpenSession
from proxy.web.dashboard.sessions import actor_of
from proxy.web.dashboard.table import Column, Table
from proxy.web.dashboard.view import DashboardRequest, Page, Redirect, View

_COLUMNS: Final = (
    Column("browser", "Browser"),
    Column("address", "From", "code"),
    Column("token", "With token", "code"),
    Column("since", "Since", "time"),
    Column("seen", "Last seen", "time"),
    Column("state", "State", "state"),
    Column("end", "Log out", "markup"),
)
_BUTTON: Final = Markup(
    '<form method="post" action="/me/sessions/{}/end"><input type="hidden" name="form_key" value="{}">'
    '<button class="quiet" aria-label="Log out the browser at {}, since {}">Log out</button></form>'
)


def _own(request: DashboardRequest) -> Sequence[OpenSession]:
    return [one for one in request.deps.sessions.all() if one.is_users and one.row.name == request.session.user]


async def _show(request: DashboardRequest) -> Page:
    own = _own(request)
    here = next(one for one in own if one.row.id == request.session.id)
    token = request.deps.services.live.current.directory.find(here.row.bound)
    values = {"token": here.row.token, "ends_ms": None if token is None else token.expires_ms}
    note = "A login ends after 12 hours without use, after 7 days at most, and with the token that it came from."
    rows = [_row(request, one) for one in own]
    table = Table("logins", "Where you are logged in", _COLUMNS, rows, "Nowhere.", sort="-seen", note=note)
    return Page("own_logins.html", values, (table,))


def _row(request: DashboardRequest, one: OpenSession) -> dict[str, Any]:
    row = one.row
    key = new_form_key(request.session)
    return {
        "browser": browser_name(row.browser),
        "address": row.address,
        "token": row.token,
        "since": row.created_ms,
        "seen": one.seen_ms,
        "state": ("ok", "this one") if row.id == request.session.id else ("off", "open"),
        "end": _BUTTON.format(quote(row.id, safe=""), key, row.address, row.id),
    }


async def _end(request: DashboardRequest) -> Redirect:
    id_ = request.path["id"]
    if id_ not in {one.row.id for one in _own(request)}:
        raise CallerError(404, "not_found", "You have no such login; it may have ended.")
    await request.deps.sessions.end(id_, actor_of(request.session, request.context), "ended by its user")
    return Redirect("/me/logins", "That browser is logged out.")


VIEWS = (
    View("GET", "/me/logins", _show, "Your logins", audience="user"),
    View("POST", "/me/sessions/{id}/end", _end, "Log out", audience="user"),
)
