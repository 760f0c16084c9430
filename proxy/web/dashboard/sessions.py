"""Find whose page is asked for: the cookie of a request, and the session that it opens."""

from collections.abc import Iterator
from typing import Literal

from proxy.pipeline.context import RequestContext
from proxy.pipeline.values.identity import Identity
from proxy.pipeline.values.request_headers import Headers
from proxy.storage.audit import Actor
from proxy.web.admin.route import Operator, Role
from proxy.web.dashboard.open_sessions import OpenSession
from proxy.web.dashboard.session import Session
from proxy.web.deps import Deps
from proxy.web.server.aiohttp_downstream import aiohttp_request
from proxy.web.server.peer import address_of

Audience = Literal["operator", "user"]


def session_of(context: RequestContext, deps: Deps, audience: Audience, *, is_use: bool = True) -> Session | None:
    """Return who is logged in; None for nobody. A user's session opens no operator's page, nor the other way round.

    is_use: a person asks, and no page by itself.
    """
    headers = context.downstream.request_headers.headers
    sent = cookie_values(headers, deps.sessions.cookie)
    found = deps.sessions.find(sent, is_users=audience == "user", is_use=is_use)
    if found is None:
        return None
    row = found.row
    if audience == "user":
        return Session(row.id, row.name, user=row.name, forms=found.forms)
    actor = Actor(row.name, f"dashboard {address_of(aiohttp_request(context).transport)}")
    return Session(row.id, row.name, Operator(actor, role_of(found, deps)), forms=found.forms)


def actor_of(session: Session, context: RequestContext) -> Actor:
    """Return who changes something, for the audit trail."""
    if session.operator is not None:
        return session.operator.actor
    return Actor(session.name, f"own page {address_of(aiohttp_request(context).transport)}")


def identity_of(session: Session, deps: Deps) -> Identity:
    """Return who the user of a session is under the configuration in force, with what they may use.

    The session was found in the same step of the event loop, so its token is there.
    """
    row = deps.services.live.current.directory.find(deps.sessions.named(session.id).row.bound)
    assert row is not None, "a session holds as long as its token"
    return row.identity


def role_of(session: OpenSession, deps: Deps) -> Role:
    """Return what an operator may do now."""
    if session.row.kind != "operator":
        return Role.ADMIN
    return Role[deps.services.live.current.operators[session.row.bound].role.upper()]


def cookie_values(headers: Headers, name: str) -> Iterator[str]:
    """Yield the values of all cookies of a name; what is malformed is left out."""
    for header in headers.getall("Cookie", ()):
        for pair in header.split(";"):
            key, equals, value = pair.strip(" \t").partition("=")
            if equals and key == name:
                yield value


def set_cookie(deps: Deps, audience: Audience, secret: str, *, is_tls: bool) -> str:
    """Return the Set-Cookie header of a login; an empty secret removes the cookie."""
    path = "/me" if audience == "user" else "/dashboard"
    age = "; Max-Age=0" if not secret else ""  # a session's end is the server's to know
    secure = "; Secure" if is_tls else ""
    return f"{deps.sessions.cookie}={secret}; Path={path}{age}; HttpOnly; SameSite=Strict{secure}"
