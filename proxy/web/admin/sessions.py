"""/admin/v1/sessions: who is logged in to the dashboard and to users' own pages."""

from typing import Any, Literal

from pydantic import BaseModel

from proxy.core.errors import CallerError
from proxy.storage.sessions import SessionKind
from proxy.web.admin.etag import etag_of
from proxy.web.admin.moment import MomentText, moment_text
from proxy.web.admin.route import AdminAnswer, AdminQuery, AdminRequest, AdminRoute, ShownOnce
from proxy.web.dashboard.open_sessions import OpenSession


class SessionEntry(BaseModel):
    """A login. audience: operators see the dashboard, users their own page. login: what it was opened with.

    token: the id of a user's token. seen_at: when it was used last. ends_at: when it ends unless it is used.
    """

    id: str
    audience: Literal["operator", "user"]
    name: str
    login: SessionKind
    token: str | None
    address: str
    browser: str
    created_at: MomentText
    seen_at: MomentText
    ends_at: MomentText


class SessionFilter(AdminQuery):
    """Which sessions."""

    name: str | None = None
    audience: Literal["operator", "user"] | None = None


class LoginCode(BaseModel):
    """A code that logs one browser in, once. address: where to open it."""

    code: ShownOnce
    address: str
    ends_at: MomentText


def _entry(session: OpenSession) -> dict[str, Any]:
    row = session.row
    return {
        **{name: getattr(row, name) for name in ("id", "name", "address", "browser")},
        "audience": "user" if session.is_users else "operator",
        "login": row.kind,
        "token": row.token or None,
        "created_at": moment_text(row.created_ms),
        "seen_at": moment_text(session.seen_ms),
        "ends_at": moment_text(session.end_ms()),
    }


async def _list(request: AdminRequest) -> AdminAnswer:
    query: SessionFilter = request.query
    found = [_entry(session) for session in request.deps.sessions.all()]
    wanted = [one for one in found if query.name in (None, one["name"]) and query.audience in (None, one["audience"])]
    wanted.sort(key=lambda one: (one["created_at"], one["id"]))  # when it was seen changes between two pages
    return AdminAnswer(*request.page.of(wanted, lambda one: (one["created_at"], one["id"])))


async def _show(request: AdminRequest) -> AdminAnswer:
    session = request.deps.sessions.named(request.path["id"])
    return AdminAnswer(_entry(session), etag=etag_of(session.row.id))


async def _end(request: AdminRequest) -> AdminAnswer:
    entry = _entry(request.deps.sessions.named(request.path["id"]))
    await request.deps.sessions.end(entry["id"], request.actor, "ended by an operator")
    return AdminAnswer(entry)


async def _make_code(request: AdminRequest) -> AdminAnswer:
    deps = request.deps
    if deps.pages_at is None:
        raise CallerError(409, "not_running", "No proxy runs here that could show the dashboard: tollkeeper serve")
    if request.actor.source != "socket":
        raise CallerError(
            403,
            "socket_owner_only",
            "Codes are made over the proxy's socket only: tollkeeper dashboard. Log in with your token instead.",
            type_="permission_error",
        )
    if not deps.services.live.current.settings.server.dashboard:
        raise CallerError(
            404, "dashboard_off", "The dashboard is turned off here (server.dashboard: false in the configuration)."
        )
    code, until_ms = deps.codes.make(request.actor.name, request.now_ms)
    address = f"{deps.pages_at}/dashboard/login#{code}"
    return AdminAnswer({"code": code, "address": address, "ends_at": moment_text(until_ms)})


ROUTES = (
    AdminRoute("GET", "/sessions", _list, "List who is logged in", SessionEntry, query=SessionFilter, is_list=True),
    AdminRoute(
        "POST",
        "/sessions/codes",
        _make_code,
        "Make a code that opens the dashboard once within a minute; over the socket only",
        LoginCode,
    ),
    AdminRoute("GET", "/sessions/{id}", _show, "Show a session", SessionEntry),
    AdminRoute("DELETE", "/sessions/{id}", _end, "Log somebody out, at once", SessionEntry),
)
