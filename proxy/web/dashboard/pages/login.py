"""Log in and out: operators by their token or a code of the command line, users by their own token."""

from typing import Final

from proxy.core.errors import CallerError
from proxy.web.admin.route import Role
from proxy.web.dashboard.door import is_arrival, is_tls
from proxy.web.dashboard.login import code_proof, let_in, operator_proof, user_proof
from proxy.web.dashboard.session import NOBODY
from proxy.web.dashboard.sessions import Audience, actor_of, set_cookie
from proxy.web.dashboard.view import DashboardRequest, Page, Redirect, Shown, View, is_own

_HOMES: Final = {"operator": "/dashboard", "user": "/me"}
_NEXT_CHARS_MAX: Final = 2000


def _next_of(given: str | None, audience: Audience) -> str:
    """Return where somebody wanted to go; the first page where that is no address of theirs."""
    home = _HOMES[audience]
    address = given or ""
    is_theirs = address.partition("?")[0] == home or address.startswith(f"{home}/")
    is_login = address.startswith((f"{home}/login", f"{home}/logout"))
    return address if is_theirs and is_own(address) and not is_login and len(address) <= _NEXT_CHARS_MAX else home


def _form(request: DashboardRequest, audience: Audience, error: CallerError | None = None) -> Page:
    values = {
        "audience": audience,
        "next": _next_of((request.form or request.query).get("next"), audience),
        "problem": error,
        "is_out": "out" in request.query and error is None,
        "has_operators": _has_operators(request),
    }
    return Page("login.html", values, status=200 if error is None else error.status)


def _has_operators(request: DashboardRequest) -> bool:
    snapshot = request.deps.services.live.current
    return snapshot.settings.admin_token is not None or bool(snapshot.operators)


def _shown(request: DashboardRequest, audience: Audience) -> Shown:
    """Return the form; the page that was asked for to those who are logged in."""
    wanted = _next_of(request.query.get("next"), audience)
    if request.session is not NOBODY:
        return Redirect(wanted)
    if "next" in request.query and is_arrival(request.context):
        # the browser held the cookie back, as another site's page sent it here; from our own page it does not
        return Page("arrival.html", {"next": wanted}, title="One moment")
    return _form(request, audience)


async def _show_operator(request: DashboardRequest) -> Shown:
    return _shown(request, "operator")


async def _show_user(request: DashboardRequest) -> Shown:
    return _shown(request, "user")


async def _log_in_operator(request: DashboardRequest) -> Shown:
    code, token = request.form.get("code", "").strip(), request.form.get("token", "").strip()
    context, deps = request.context, request.deps
    try:
        proof = code_proof(context, deps, code) if code else operator_proof(context, deps, token)
    except CallerError as error:
        if error.status == 429:
            raise
        return _form(request, "operator", error)
    return await _entered(request, "operator", await let_in(context, deps, "operator", proof))


async def _log_in_user(request: DashboardRequest) -> Shown:
    token = request.form.get("token", "").strip()
    try:
        proof = user_proof(request.context, request.deps, token)
    except CallerError as error:
        if error.status == 429:
            raise
        return _form(request, "user", error)
    return await _entered(request, "user", await let_in(request.context, request.deps, "user", proof))


async def _entered(request: DashboardRequest, audience: Audience, cookie: str) -> Shown:
    if request.session is not NOBODY:  # another login from the same browser takes the place of this one
        await _end(request, "replaced by another login")
    return Redirect(_next_of(request.form.get("next"), audience), cookie=cookie)


async def _end(request: DashboardRequest, reason: str) -> None:
    session = request.session
    await request.deps.sessions.end(session.id, actor_of(session, request.context), reason)


async def _log_out(request: DashboardRequest) -> Shown:
    audience: Audience = "operator" if request.session.operator else "user"
    await _end(request, "logged out")
    gone = set_cookie(request.deps, audience, "", is_tls=is_tls(request.context))
    return Redirect(f"{_HOMES[audience]}/login?out=1", cookie=gone)


VIEWS = (
    View("GET", "/dashboard/login", _show_operator, "Log in", is_open=True),
    View("POST", "/dashboard/login", _log_in_operator, "Log in", is_open=True),
    View("POST", "/dashboard/logout", _log_out, "Log out", role=Role.VIEWER),
    View("GET", "/me/login", _show_user, "Log in to your own page", audience="user", is_open=True),
    View("POST", "/me/login", _log_in_user, "Log in to your own page", audience="user", is_open=True),
    View("POST", "/me/logout", _log_out, "Log out", audience="user"),
)
