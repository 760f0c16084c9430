"""/admin/v1: what the operator changes and asks.

Over the Unix socket the file's mode is the credential; over TCP the operator's token is.
"""

import asyncio
import hmac
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from proxy.core.errors import CallerError, OwnError
from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import BodyIncompleteError, BodyTooLargeError, Reply
from proxy.pipeline.identity.authenticate import credential
from proxy.storage.admin_operations import OPERATIONS, READS
from proxy.storage.audit import Actor
from proxy.storage.ledger import LedgerUnavailableError
from proxy.storage.users import MissingError, UserError
from proxy.web.admin.backup import backup
from proxy.web.deps import Deps
from proxy.web.explain import explain_for
from proxy.web.json_reply import json_reply
from proxy.web.server.aiohttp_downstream import aiohttp_request
from proxy.web.server.peer import address_of, is_unix, socket_user

log = logging.getLogger("tollkeeper.web")

_ASKED: Mapping[str, Callable[[RequestContext, Deps, Mapping[str, Any]], Awaitable[Any]]] = {
    "backup": backup,
    "explain": explain_for,
}
_BODY_MAX_BYTES = 1 << 20
_BODY_TIMEOUT_S = 30.0
PREFIX = "/admin/v1/"


def check_operator(context: RequestContext, deps: Deps) -> None:
    """Raise unless the operator's token came with the request. Without one in the configuration /admin is closed.

    After some wrong ones from an address each further one there has to wait, and a right one with it: what is answered
    meanwhile says nothing about the token.
    """
    token = deps.services.live.current.settings.admin_token
    if token is None:
        raise CallerError(
            403,
            "admin_closed",
            "No admin_token is configured, so /admin is closed. The command line works over its socket.",
            type_="permission_error",
        )
    sent = credential(context.downstream.request_headers.headers)
    wrong, address = deps.wrong_tokens, address_of(aiohttp_request(context).transport)
    wait_s = wrong.wait_s(address, context.started_s)
    if wait_s > 0:
        raise _too_many_tries(math.ceil(wait_s))
    if not hmac.compare_digest(sent.encode(errors="surrogateescape"), token.reveal().encode()):
        wrong.wrong(address, context.started_s)
        log.warning("admin.wrong_token", extra={"address": address})
        wait_s = wrong.wait_s(address, context.started_s)
        raise CallerError(
            401,
            "invalid_api_key",
            "That is not the operator's token (admin_token).",
            retry_after_s=math.ceil(wait_s) if wait_s else None,
        )
    wrong.right(address)


def _too_many_tries(after_s: int) -> CallerError:
    return CallerError(
        429,
        "too_many_wrong_tokens",
        f"Several wrong operator's tokens came from this address. Try again in {after_s} s; the command line on the"
        " proxy's own machine works meanwhile.",
        type_="rate_limit_error",
        retry_after_s=after_s,
    )


def _actor(context: RequestContext) -> Actor:
    """Return who changes something, as they were authenticated; what the body says of it is not believed."""
    transport = aiohttp_request(context).transport
    if is_unix(transport):
        return Actor(socket_user(transport), "socket")
    return Actor("admin_token", f"tcp {address_of(transport)}")


async def admin(context: RequestContext, deps: Deps, path: str) -> Reply:
    """Run POST /admin/v1/<noun>/<verb> with a JSON object as body; the answer is {"data": ...}."""
    if aiohttp_request(context).method != "POST":
        raise CallerError(405, "method_not_allowed", "Use POST.", headers={"Allow": "POST"})
    name = path.replace("/", ".")
    if name == "reload":
        problem = await deps.reload()
        if problem is not None:
            raise CallerError(422, "invalid_config", problem)
        return json_reply(context, {"data": {"reloaded": True}})
    asked = _ASKED.get(name)
    if asked is not None:
        return json_reply(context, {"data": await asked(context, deps, await _fields(context))})
    if name not in OPERATIONS:
        raise CallerError(404, "unknown_url", f"There is no {PREFIX}{path[:60]}. There are: {_listed()}.")
    fields = await _fields(context)
    fields.pop("actor", None)  # older command lines send it
    try:
        if name in READS:
            data = await asyncio.to_thread(READS[name], deps.services.reports, fields)
        else:
            data = await deps.change(name, now_ms=context.started_ms, actor=_actor(context), fields=fields)
    except MissingError as error:
        raise CallerError(404, "not_found", str(error)) from None
    except UserError as error:
        raise CallerError(400, "invalid_change", str(error)) from None
    except LedgerUnavailableError as error:
        raise _unwritten(str(error)) from None
    return json_reply(context, {"data": data})


def _unwritten(reason: str) -> OwnError:
    return OwnError(
        503,
        "ledger_unavailable",
        f"The ledger cannot be written ({reason}), so nothing was changed. See /readyz.",
        retry_after_s=2,
    )


def _listed() -> str:
    return ", ".join(PREFIX + name.replace(".", "/") for name in (*OPERATIONS, *_ASKED, "reload"))


async def _fields(context: RequestContext) -> dict[str, Any]:
    request = aiohttp_request(context)
    if request.content_type != "application/json":  # no form of a web page may reach this
        raise CallerError(
            415, "unsupported_content_type", 'Send the body with "Content-Type: application/json".', close=True
        )
    try:
        body = await context.downstream.read_body(_BODY_MAX_BYTES, _BODY_TIMEOUT_S)
    except BodyTooLargeError:
        raise CallerError(413, "body_too_large", "The body is larger than 1 MiB.", close=True) from None
    except (BodyIncompleteError, TimeoutError):
        raise CallerError(400, "body_incomplete", "The body ended before it was complete.", close=True) from None
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise CallerError(400, "invalid_json", "The body is not valid JSON.") from None
    if not isinstance(fields, dict):
        raise CallerError(400, "invalid_json", "The body must be a JSON object.")
    return fields
