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

from proxy.core.errors import CallerError
from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply
from proxy.pipeline.identity.authenticate import credential
from proxy.storage.admin_operations import READS
from proxy.storage.audit import Actor
from proxy.storage.ledger import LedgerUnavailableError
from proxy.storage.users import MissingError, UserError
from proxy.web.admin.backup import backup
from proxy.web.admin.read import read_json
from proxy.web.admin.resources import TABLE
from proxy.web.admin.route import PREFIX, Operator, Role
from proxy.web.admin.run_route import check_role, run_route, unwritten
from proxy.web.deps import Deps
from proxy.web.explain import explain_for
from proxy.web.json_reply import json_reply
from proxy.web.server.aiohttp_downstream import aiohttp_request
from proxy.web.server.peer import address_of, socket_user

log = logging.getLogger("tollkeeper.web")

CALLS = (  # POST <noun>/<verb>, from before there were resources: a list that grows no more
    *("users.list", "users.show", "users.add", "users.set", "users.stop", "users.remove"),
    *("tokens.list", "tokens.add", "tokens.set", "tokens.rotate", "tokens.remove"),
)
_ASKED: Mapping[str, Callable[[RequestContext, Deps, Mapping[str, Any]], Awaitable[Any]]] = {
    "backup": backup,
    "explain": explain_for,
}


def socket_operator(context: RequestContext) -> Operator:
    """Return who asks over the Unix socket: the user of the system at its other end."""
    return Operator(Actor(socket_user(aiohttp_request(context).transport), "socket"), Role.ADMIN)


def check_operator(context: RequestContext, deps: Deps) -> Operator:
    """Return who asks by the operator's token; raises without one. Without one in the configuration /admin is closed.

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
    return Operator(Actor("admin_token", f"tcp {address}"), Role.ADMIN)


def _too_many_tries(after_s: int) -> CallerError:
    return CallerError(
        429,
        "too_many_wrong_tokens",
        f"Several wrong operator's tokens came from this address. Try again in {after_s} s; the command line on the"
        " proxy's own machine works meanwhile.",
        type_="rate_limit_error",
        retry_after_s=after_s,
    )


async def admin(context: RequestContext, deps: Deps, operator: Operator, method: str, path: str) -> Reply:
    """Answer a request by its resource, or run an older POST <noun>/<verb>; path: below /admin/v1/, with its query."""
    name = path.partition("?")[0].replace("/", ".")
    if method == "POST" and (name in CALLS or name in _ASKED or name == "reload"):
        return await _call(context, deps, operator, name)
    reply = await run_route(context, deps, operator, TABLE, method, path)
    if reply is None:
        raise CallerError(404, "unknown_url", f"There is no {PREFIX}{name.replace('.', '/')[:60]}. {_listed()}")
    return reply


async def _call(context: RequestContext, deps: Deps, operator: Operator, name: str) -> Reply:
    """Run POST /admin/v1/<noun>/<verb> with a JSON object as body; the answer is {"data": ...}."""
    if name not in READS and name != "explain":
        check_role(operator, Role.ADMIN)
    if name == "reload":
        problem = await deps.reload()
        if problem is not None:
            raise CallerError(422, "invalid_config", problem)
        return json_reply(context, {"data": {"reloaded": True}})
    fields = await _fields(context)
    asked = _ASKED.get(name)
    if asked is not None:
        return json_reply(context, {"data": await asked(context, deps, fields)})
    fields.pop("actor", None)  # older command lines send it
    try:
        if name in READS:
            data = await asyncio.to_thread(READS[name], deps.services.reports, fields)
        else:
            async with deps.changes:
                data = await deps.change(name, now_ms=context.started_ms, actor=operator.actor, fields=fields)
    except MissingError as error:
        raise CallerError(404, "not_found", str(error)) from None
    except UserError as error:
        raise CallerError(400, "invalid_change", str(error)) from None
    except LedgerUnavailableError as error:
        raise unwritten(str(error)) from None
    return json_reply(context, {"data": data})


def _listed() -> str:
    resources = sorted({f"{PREFIX}{route.segments[0]}" for route in TABLE.routes})
    calls = (PREFIX + name.replace(".", "/") for name in (*CALLS, *_ASKED, "reload"))
    return f"There are: {', '.join(resources)}; and by POST {', '.join(calls)}."


async def _fields(context: RequestContext) -> dict[str, Any]:
    body = await read_json(context)
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise CallerError(400, "invalid_json", "The body is not valid JSON.") from None
    if not isinstance(fields, dict):
        raise CallerError(400, "invalid_json", "The body must be a JSON object.")
    return fields
