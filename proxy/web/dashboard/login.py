"""Let somebody in: what they sent becomes a proof, and the proof a session."""

import math

from multidict import CIMultiDict

from proxy.core.errors import CallerError
from proxy.core.user_token import OPERATOR_PREFIX, token_hash
from proxy.pipeline.context import RequestContext
from proxy.pipeline.identity.authenticate import authenticate
from proxy.pipeline.values.request_headers import RequestHeaders
from proxy.storage.audit import Actor
from proxy.storage.ledger import LedgerUnavailableError
from proxy.storage.operators import RESERVED
from proxy.storage.sessions import SessionKind
from proxy.web.admin.credentials import check_open, check_pace, note_wrong, operator_of_token
from proxy.web.admin.run_route import unwritten
from proxy.web.dashboard.door import is_tls
from proxy.web.dashboard.open_sessions import Proof
from proxy.web.dashboard.sessions import Audience, set_cookie
from proxy.web.deps import Deps
from proxy.web.server.aiohttp_downstream import aiohttp_request
from proxy.web.server.peer import address_of


def operator_proof(context: RequestContext, deps: Deps, token: str) -> Proof:
    """Return what an operator's token proves; raises CallerError for any other text."""
    check_open(deps)
    _check_given(token)
    operator = operator_of_token(token, context, deps)
    kind: SessionKind = "admin_token" if operator.actor.name in RESERVED else "operator"
    return Proof(kind, operator.actor.name, token_hash(token))


def code_proof(context: RequestContext, deps: Deps, code: str) -> Proof:
    """Return what a code of the command line proves, once; raises CallerError."""
    check_pace(context, deps)
    name = deps.codes.use(code, context.clock.now_ms())
    if name is None:
        raise CallerError(
            401,
            "invalid_code",
            "That code is not valid any more: each is good for one login within a minute. Make another: tollkeeper"
            " dashboard",
            retry_after_s=note_wrong(context, deps),
        )
    return Proof("code", name)


def user_proof(context: RequestContext, deps: Deps, token: str) -> Proof:
    """Return what a user's token proves; raises CallerError for any other text, and for a token that is not let in."""
    check_pace(context, deps)
    _check_given(token)
    if token.startswith(OPERATOR_PREFIX):
        raise CallerError(
            403, "user_only", "That is an operator's token: log in to the dashboard with it.", type_="permission_error"
        )
    directory = deps.services.live.current.directory
    sent = RequestHeaders(CIMultiDict({"x-api-key": token}))
    try:
        identity = authenticate(sent, directory, context.clock.now_ms())
    except CallerError as error:
        if error.code == "invalid_api_key":
            error.retry_after_s = note_wrong(context, deps)
        raise
    return Proof("user", identity.user, token_hash(token), identity.token_id)


def _check_given(token: str) -> None:
    if not token:
        raise CallerError(400, "token_missing", "Paste your token into the field.")


async def let_in(context: RequestContext, deps: Deps, audience: Audience, proof: Proof) -> str:
    """Begin a session; return the Set-Cookie header that opens it.

    Raises CallerError 429 for whoever does so time and again, and OwnError where it cannot be written.
    """
    wait_s = deps.login_pace.wait_s(f"{proof.kind} {proof.name}", context.started_s)
    if wait_s > 0:  # each login is a row, and an entry in the audit trail
        raise CallerError(
            429,
            "too_many_logins",
            f"You log in too often. Try again in {math.ceil(wait_s)} s.",
            type_="rate_limit_error",
            retry_after_s=math.ceil(wait_s),
        )
    address = address_of(aiohttp_request(context).transport)
    browser = context.downstream.request_headers.headers.get("User-Agent", "")
    actor = Actor(proof.name, f"{'own page' if audience == 'user' else 'dashboard'} {address}")
    try:
        secret, _ = await deps.sessions.begin(proof, actor, address, browser)
    except LedgerUnavailableError as error:
        raise unwritten(str(error)) from None
    return set_cookie(deps, audience, secret, is_tls=is_tls(context))
