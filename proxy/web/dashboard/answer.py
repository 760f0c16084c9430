"""Answer a request for a page: the door, the session, the form, the handler, and what it returns as HTML or CSV."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, quote

from markupsafe import Markup
from msgspec.structs import replace

from proxy.core.errors import ApiError, CallerError, OwnError
from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply
from proxy.storage.audit import Actor
from proxy.web.admin.route import Operator, Role
from proxy.web.dashboard import nav
from proxy.web.dashboard.admin_calls import AdminCalls
from proxy.web.dashboard.door import check_door, is_tls
from proxy.web.dashboard.form import read_form
from proxy.web.dashboard.form_keys import check_form_key, new_form_key
from proxy.web.dashboard.live_part import read_part
from proxy.web.dashboard.live_stream import stream_events
from proxy.web.dashboard.period import CHOICES
from proxy.web.dashboard.prepare import begin_preparing
from proxy.web.dashboard.response_headers import security_headers
from proxy.web.dashboard.session import NOBODY, Session
from proxy.web.dashboard.sessions import session_of
from proxy.web.dashboard.static_files import PREFIX as STATIC
from proxy.web.dashboard.static_files import by_address
from proxy.web.dashboard.table import Table, csv_of, views_of
from proxy.web.dashboard.templates import render
from proxy.web.dashboard.view import (
    Audience,
    DashboardRequest,
    Events,
    Fragment,
    Redirect,
    Shown,
    View,
    Whole,
    address_of,
    is_own,
)
from proxy.web.dashboard.views import VIEWS
from proxy.web.deps import Deps
from proxy.web.json_reply import own_reply

log = logging.getLogger("tollkeeper.web")

_HTML: Final = {"Content-Type": "text/html; charset=utf-8"}
_FOR_EVER: Final = {"Cache-Control": "public, max-age=31536000, immutable"}
FORM_KEY: Final = "form_key"
_LOGINS: Final = {"operator": "/dashboard/login", "user": "/me/login"}


async def answer_page(
    context: RequestContext, deps: Deps, method: str, path: str, query: str, *, has_dashboard: bool = True
) -> Reply:
    """Return the answer for an address below /dashboard or /me; path: canonical, query: as it was sent.

    has_dashboard: operators' pages are at the address that was asked, not at another one.
    """
    try:
        check_door(context, deps)
        if path.startswith(STATIC):
            return _static(context, method, path)
        _check_place(path, has_dashboard=has_dashboard)
        return await _viewed(context, deps, method, path, dict(parse_qsl(query, keep_blank_values=True)))
    except ApiError as error:
        return await _error_page(context, deps, path, error)
    except Exception as error:
        if context.began:  # half an answer is sent
            raise
        log.error("page.failed", exc_info=error, extra={"request_id": context.request_id})
        return await _error_page(context, deps, path, _failure(context))


def _check_place(path: str, *, has_dashboard: bool) -> None:
    """Raise CallerError for an operators' page at an address that has none."""
    if not (has_dashboard or path.startswith("/me")):
        text = "The dashboard is not at this address: see admin.listen in the configuration."
        raise CallerError(404, "unknown_url", text)


def _failure(context: RequestContext) -> OwnError:
    text = f"The proxy failed. The operator finds the reason in its log under {context.request_id}."
    return OwnError(500, "internal_error", text)


async def _viewed(context: RequestContext, deps: Deps, method: str, path: str, query: Mapping[str, str]) -> Reply:
    view, parameters = _find(method, path)
    if view.audience == "operator":
        begin_preparing(deps)
    session = session_of(context, deps, view.audience, is_use=not view.is_fragment) or (
        NOBODY if view.is_open else None
    )
    if session is None:
        if view.method == "POST":
            raise CallerError(401, "login_needed", "Your login has ended, and nothing was changed. Log in again.")
        login = address_of(_LOGINS[view.audience], {"next": address_of(path, query)})
        return _redirect(context, login)
    if session.role < view.required_role:
        raise CallerError(
            403,
            "role_not_allowed",
            f"{session.name} is a viewer, who may look at everything and change nothing.",
            type_="permission_error",
        )
    form = await _form(context, view, session) if view.method == "POST" else {}
    request = DashboardRequest(
        path=parameters,
        query=query,
        form={name: values[-1] for name, values in form.items()},
        form_lists=form,
        session=session,
        api=AdminCalls(deps, session.operator or _reader_of(session)),
        address_path=_page_path(view, path),
        now_ms=context.clock.now_ms(),
        deps=deps,
        context=context,
    )
    if view.is_fragment:
        return await _fragment(request, view)
    return await _reply(request, view, await view.handler(request))


def _find(method: str, path: str) -> tuple[View, Mapping[str, str]]:
    """Return the view of a request; raises CallerError where there is none."""
    found = VIEWS.find(path)
    if found is None:
        raise CallerError(404, "unknown_url", "There is no page at this address.")
    methods, parameters = found
    view = methods.get("GET" if method == "HEAD" else method)
    if view is None:
        allowed = ", ".join(sorted({*methods, *(("HEAD",) if "GET" in methods else ())}))
        raise CallerError(
            405, "method_not_allowed", f"This address accepts {allowed}.", headers={"Allow": allowed}, close=True
        )
    return view, parameters


def _page_path(view: View, path: str) -> str:
    """Return the address of the page that is shown: for a form or a part, which have none of their own, theirs."""
    if view.method == "GET":
        return view.page or path
    page = view.page or path
    while (found := VIEWS.find(page)) is None or "GET" not in found[0]:
        page = page.rpartition("/")[0]
    return page


def _reader_of(session: Session) -> Operator:
    """Return who asks the operator's API for a user's own page."""
    return Operator(Actor(session.name, "own page"), Role.VIEWER)


async def _form(context: RequestContext, view: View, session: Session) -> Mapping[str, Sequence[str]]:
    """Return the fields of a form that this session was given, and has not sent before."""
    fields = dict(await read_form(context))
    key = fields.pop(FORM_KEY, [""])[-1]
    if not view.is_open:
        check_form_key(session, key)
    return fields


async def _reply(request: DashboardRequest, view: View, shown: Shown) -> Reply:
    context, deps = request.context, request.deps
    match shown:
        case Whole():
            return shown.reply
        case Events():
            return await _events(request, shown.part)
        case Redirect():
            if shown.note:
                deps.dashboard.notes.leave(request.session.id, shown.note)
            return _redirect(context, shown.path, shown.cookie)
        case Fragment():
            raise AssertionError(f"{view.path} is not marked as a fragment")
    wanted = request.wants_csv
    if wanted is not None:
        return await _csv(request, shown.tables, wanted)
    title = view.title if shown.title is None else shown.title
    frame = _frame(request, view)
    values = {**frame, "title": title, **shown.values}
    text = await render(shown.template, lambda: {"tables": views_of(shown.tables, request.query), **values})
    return own_reply(context, shown.status, {**security_headers(is_tls(context)), **_HTML}, text.encode())


def _frame(request: DashboardRequest, view: View) -> Mapping[str, Any]:
    """Return what every template is given besides its own values."""
    deps, session = request.deps, request.session
    return {
        "request": request,
        "session": session,
        "is_admin": session.role >= Role.ADMIN,
        "period": request.period,
        "periods": CHOICES if view.has_period else {},
        "zone": request.zone,
        "menu": nav.OPERATOR if session.operator else nav.USER,
        "stop_entry": nav.STOP if session.operator else None,
        "stops_in_force": len(deps.services.stops.in_force()) if session.operator else 0,
        "note": deps.dashboard.notes.take(session.id),
        "kept_from": None,
        "form_key": lambda: _form_key_field(session),
    }


def _form_key_field(session: Session) -> Markup:
    key = new_form_key(session)
    return Markup('<input type="hidden" name="{}" value="{}">').format(FORM_KEY, key)


async def _fragment(request: DashboardRequest, view: View) -> Reply:
    """Return a part of a page, or 304 where the viewer has this one."""
    context = request.context
    made = await read_part(request, view)
    headers = {**security_headers(is_tls(context)), **_HTML, "ETag": made.etag}
    if context.downstream.request_headers.headers.get("If-None-Match") == made.etag:
        return own_reply(context, 304, headers)
    return own_reply(context, 200, headers, made.content)


async def _events(request: DashboardRequest, part: str | None) -> Reply:
    """Stream ticks, or the live part at an address, which is one that this operator may open."""
    if part is None:
        return await stream_events(request, "", None)
    path, _, query = part.partition("?")
    view, parameters = _find("GET", path)
    session = request.session
    if not view.is_fragment or view.audience != "operator" or session.role < view.required_role:
        raise CallerError(400, "not_live", "The address that is to be followed is not that of a live part of a page.")
    pairs = dict(parse_qsl(query, keep_blank_values=True))
    wanted = replace(request, path=parameters, query=pairs, address_path=_page_path(view, path))
    return await stream_events(request, part, lambda stamp: read_part(wanted, view, stamp))


async def _csv(request: DashboardRequest, tables: Sequence[Table], wanted: str) -> Reply:
    found = next((each for each in tables if each.name == wanted), None)
    if found is None:
        raise CallerError(404, "unknown_table", "There is no table of this name on the page.")
    headers = {
        **security_headers(is_tls(request.context)),
        "Content-Type": "text/csv; charset=utf-8",
        "Content-Disposition": f'attachment; filename="tollkeeper-{quote(wanted, safe="")}.csv"',
    }
    text = await asyncio.to_thread(csv_of, found, request.query)
    return own_reply(request.context, 200, headers, text.encode())


def _static(context: RequestContext, method: str, path: str) -> Reply:
    file = by_address().get(path)
    if file is None:
        raise CallerError(404, "unknown_url", "There is no file at this address.")
    if method not in ("GET", "HEAD"):
        raise CallerError(405, "method_not_allowed", "This address accepts GET.", headers={"Allow": "GET, HEAD"})
    headers = {**security_headers(is_tls(context)), **_FOR_EVER, "Content-Type": file.content_type}
    return own_reply(context, 200, headers, file.content)


def _redirect(context: RequestContext, address: str, cookie: str | None = None) -> Reply:
    """Send the browser on; only to an address of the dashboard itself."""
    if not is_own(address):
        raise CallerError(400, "invalid_target", "That is not an address of the dashboard.")
    headers = {**security_headers(is_tls(context)), "Location": address}
    return own_reply(context, 303, headers if cookie is None else {**headers, "Set-Cookie": cookie})


async def _error_page(context: RequestContext, deps: Deps, path: str, error: ApiError) -> Reply:
    """Return an error as a page that a person reads; without names of the menu to those who are not logged in."""
    audience: Audience = "user" if path.startswith("/me") else "operator"
    session = None if error.status in (401, 421) else session_of(context, deps, audience)
    text = await render(
        "error.html",
        lambda: {
            "error": error,
            "session": session,
            "login": _LOGINS[audience],
            "home": "/me" if audience == "user" else "/dashboard",
            "request_id": context.request_id,
        },
    )
    headers = {**security_headers(is_tls(context)), **_HTML, **error.headers}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    return context.downstream.whole(
        error.status,
        {**headers, "x-request-id": context.request_id},
        text.encode(),
        context.started_ms,
        close=error.close,
    )
