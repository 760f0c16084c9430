"""Who may use /admin/v1: over the socket its owner, over TCP an operator by a token, and no page of another origin."""

import base64
import hmac
import logging
import math
import os
from collections.abc import Callable

from proxy.core.errors import CallerError
from proxy.core.uid import user_name
from proxy.core.user_token import token_hash
from proxy.pipeline.context import RequestContext
from proxy.pipeline.identity.authenticate import credential
from proxy.pipeline.identity.operator_directory import OperatorRow
from proxy.pipeline.snapshot import Snapshot
from proxy.pipeline.values.request_headers import Headers
from proxy.policy.origin import is_same
from proxy.storage.audit import Actor
from proxy.web.admin.moment import moment_text
from proxy.web.admin.route import Operator, Role
from proxy.web.deps import Deps
from proxy.web.server.aiohttp_downstream import aiohttp_request
from proxy.web.server.peer import address_of, peer_uid

log = logging.getLogger("tollkeeper.web")

_ROOT = 0


def socket_operator(context: RequestContext) -> Operator:
    """Return who asks over the Unix socket: the user of the system at its other end.

    Raises CallerError for anyone but the proxy's own user and root: the file's mode alone may have been changed.
    """
    uid = peer_uid(aiohttp_request(context).transport)
    if uid is None:  # a system that does not tell: the file's mode is what there is
        return Operator(Actor("socket", "socket"), Role.ADMIN)
    if uid not in (_ROOT, os.geteuid()):
        raise CallerError(
            403,
            "socket_owner_only",
            f"This socket answers {user_name(os.geteuid())}, who runs the proxy, and you are {user_name(uid)}."
            " Run the command as that user, or call /admin/v1 with an operator's token.",
            type_="permission_error",
        )
    return Operator(Actor(user_name(uid), "socket"), Role.ADMIN)


def check_origin(context: RequestContext) -> None:
    """Raise CallerError for a web page of another origin, those of server.origins included: they are users' pages."""
    request_headers = context.downstream.request_headers
    request_headers.cors = None
    host = request_headers.headers.get("Host", "")
    if any(not is_same(origin, host) for origin in request_headers.headers.getall("Origin", [])):
        raise CallerError(
            403,
            "origin_not_allowed",
            "/admin answers no page of another origin, whatever server.origins holds.",
        )


def check_operator(context: RequestContext, deps: Deps, *, takes_basic: bool = False) -> Operator:
    """Return who asks by a token; raises CallerError for anyone else. Without any operator /admin is closed.

    After some wrong ones from an address each further one there has to wait, and a right one with it: what is answered
    meanwhile says nothing about the token. takes_basic: the token may come as the password that a browser asks for.
    """
    if not takes_basic:
        return _operator_by(credential, context, deps)
    try:
        return _operator_by(_credential_of_a_browser, context, deps)
    except CallerError as error:
        if error.status == 401:
            error.headers["WWW-Authenticate"] = 'Basic realm="Tollkeeper operator", charset="UTF-8"'
        raise


def _credential_of_a_browser(headers: Headers) -> str:
    """Return the password of HTTP's basic authentication, or a token sent as everywhere."""
    scheme, _, encoded = headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return credential(headers)
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def _operator_by(read: Callable[[Headers], str], context: RequestContext, deps: Deps) -> Operator:
    check_open(deps)
    return operator_of_token(read(context.downstream.request_headers.headers), context, deps)


def check_open(deps: Deps) -> None:
    """Raise CallerError while there is no operator's token."""
    snapshot = deps.services.live.current
    if snapshot.settings.admin_token is None and not snapshot.operators:
        raise CallerError(
            403,
            "admin_closed",
            "There is no operator's token, so /admin is closed: set admin_token, or: tollkeeper operators add NAME."
            " The command line works over its socket.",
            type_="permission_error",
        )


def operator_of_token(sent: str, context: RequestContext, deps: Deps) -> Operator:
    """Return whose token it is; raises CallerError as check_operator() does."""
    snapshot, address = deps.services.live.current, address_of(aiohttp_request(context).transport)
    check_pace(context, deps)
    operator = _operator_of(sent, snapshot, f"tcp {address}", context.clock.now_ms())
    if operator is not None:
        deps.wrong_tokens.right(address)
        return operator
    if snapshot.directory.find(token_hash(sent)) is not None:  # it is known, and so no guess
        raise CallerError(
            403,
            "operator_only",
            "That is a user's token, which opens nothing here: send an operator's.",
            type_="permission_error",
        )
    raise CallerError(
        401,
        "invalid_api_key",
        "That is not an operator's token (admin_token, or one of: tollkeeper operators list).",
        retry_after_s=note_wrong(context, deps),
    )


def check_pace(context: RequestContext, deps: Deps) -> None:
    """Raise CallerError 429 for an address that has to wait after wrong tokens: nothing from it is looked at."""
    wait_s = deps.wrong_tokens.wait_s(address_of(aiohttp_request(context).transport), context.started_s)
    if wait_s > 0:
        raise _too_many_tries(math.ceil(wait_s))


def note_wrong(context: RequestContext, deps: Deps) -> int | None:
    """Count a wrong token of an address; return for how many seconds it has to wait now, None: not at all."""
    wrong, address = deps.wrong_tokens, address_of(aiohttp_request(context).transport)
    wrong.wrong(address, context.started_s)
    log.warning("admin.wrong_token", extra={"address": address})
    wait_s = wrong.wait_s(address, context.started_s)
    return math.ceil(wait_s) if wait_s else None


def _operator_of(sent: str, snapshot: Snapshot, source: str, now_ms: int) -> Operator | None:
    """Return whose token it is; None for nobody's. Raises CallerError where its time is over or it is disabled."""
    token = snapshot.settings.admin_token
    if token is not None and hmac.compare_digest(sent.encode(errors="surrogateescape"), token.reveal().encode()):
        return Operator(Actor("admin_token", source), Role.ADMIN)
    row = snapshot.operators.get(token_hash(sent))
    if row is None:
        return None
    _check_row(row, now_ms)
    return Operator(Actor(row.name, source), Role[row.role.upper()])


def _check_row(row: OperatorRow, now_ms: int) -> None:
    if row.disabled:
        raise CallerError(403, "token_disabled", f"Operator {row.name!r} is disabled.", type_="permission_error")
    if row.expires_ms is not None and now_ms >= row.expires_ms:
        raise CallerError(
            401, "token_expired", f"The access of operator {row.name!r} ended at {moment_text(row.expires_ms)}."
        )


def _too_many_tries(after_s: int) -> CallerError:
    return CallerError(
        429,
        "too_many_wrong_tokens",
        f"Several wrong tokens came from this address. Try again in {after_s} s; the command line on the"
        " proxy's own machine works meanwhile.",
        type_="rate_limit_error",
        retry_after_s=after_s,
    )
