"""/me: a user's own page. It shows what concerns this user alone, and changes nothing but what is theirs."""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from markupsafe import Markup

from proxy.core.errors import CallerError
from proxy.core.limit_kinds import BY_NAME
from proxy.policy.quota import LimitRow
from proxy.web.dashboard.figures import count_text, money_text
from proxy.web.dashboard.form_keys import new_form_key
from proxy.web.dashboard.sessions import actor_of, identity_of
from proxy.web.dashboard.table import Column, Table
from proxy.web.dashboard.view import DashboardRequest, Page, Redirect, View

_SESSIONS: Final = (
    Column("browser", "Browser"),
    Column("address", "From", "code"),
    Column("since", "Since", "time"),
    Column("seen", "Last seen", "time"),
    Column("state", "State", "state"),
    Column("end", "Log out", "markup"),
)
_BUTTON: Final = Markup(
    '<form method="post" action="/me/sessions/{}/end"><input type="hidden" name="form_key" value="{}">'
    '<button class="quiet" aria-label="Log out {}">Log out</button></form>'
)
_SCOPES: Final = {"user": "You", "group": "Your group", "global": "Everyone together", "use_case": "Use case"}


async def _show(request: DashboardRequest) -> Page:
    identity = identity_of(request.session, request.deps)
    found = await request.deps.services.limiter.limits(identity.allowance.all_quotas, request.now_ms)
    return Page("own.html", {"user": identity.user, "limits": [_limit(row) for row in found]}, (_sessions(request),))


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
    """Return a limit in words: You, cost a day, of openai/*."""
    kind, _, name = row.scope.partition(":")
    whose = _SCOPES.get(kind, kind) + (f" {name}" if kind in ("group", "use_case") else "")
    window = f" per {row.window}" if row.window else ""
    models = f", of {', '.join(row.models)}" if row.models else ""
    return f"{whose}: {row.kind}{window}{models}"


def _own(request: DashboardRequest) -> Sequence[Any]:
    return [one for one in request.deps.sessions.all() if one.is_users and one.row.name == request.session.user]


def _sessions(request: DashboardRequest) -> Table:
    rows = [
        {
            "browser": one.row.browser or "no name",
            "address": one.row.address,
            "since": one.row.created_ms,
            "seen": one.seen_ms,
            "state": ("ok", "this one") if one.row.id == request.session.id else ("off", "open"),
            "end": _BUTTON.format(quote(one.row.id), new_form_key(request.session), one.row.address),
        }
        for one in _own(request)
    ]
    note = "A login ends after 12 hours without use, and with the token that it came from."
    return Table("logins", "Where you are logged in", _SESSIONS, rows, "Nowhere.", sort="-seen", note=note)


async def _end_session(request: DashboardRequest) -> Redirect:
    id_ = request.path["id"]
    if id_ not in {one.row.id for one in _own(request)}:
        raise CallerError(404, "not_found", "You have no such login; it may have ended.")
    await request.deps.sessions.end(id_, actor_of(request.session, request.context), "ended by its user")
    return Redirect("/me", "That browser is logged out.")


VIEWS = (
    View("GET", "/me", _show, "Your own page", audience="user"),
    View("POST", "/me/sessions/{id}/end", _end_session, "Log out", audience="user"),
)
