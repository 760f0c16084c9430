"""/admin/v1: what the operator changes and asks; credentials.py says who may."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from proxy.core.errors import CallerError
from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply
from proxy.storage.admin_operations import READS
from proxy.storage.ledger import LedgerUnavailableError
from proxy.storage.users import MissingError, UserError
from proxy.web.admin.backup import backup, note_backup
from proxy.web.admin.documents import DOCUMENTS
from proxy.web.admin.read import read_json
from proxy.web.admin.resources import TABLE
from proxy.web.admin.route import PREFIX, Operator, Role
from proxy.web.admin.run_route import check_role, run_route, unwritten
from proxy.web.deps import Deps
from proxy.web.explain import explain_for
from proxy.web.json_reply import json_reply

CALLS = (  # POST <noun>/<verb>, from before there were resources: a list that grows no more
    *("users.list", "users.show", "users.add", "users.set", "users.stop", "users.remove"),
    *("tokens.list", "tokens.add", "tokens.set", "tokens.rotate", "tokens.remove"),
)
_ASKED: Mapping[str, Callable[[RequestContext, Deps, Mapping[str, Any]], Awaitable[Any]]] = {
    "backup": backup,
    "explain": explain_for,
}


async def admin(context: RequestContext, deps: Deps, operator: Operator, method: str, path: str) -> Reply:
    """Answer a request by its resource, or run an older POST <noun>/<verb>; path: below /admin/v1/, with its query."""
    name = path.partition("?")[0].replace("/", ".")
    if method == "POST" and (name in CALLS or name in _ASKED or name == "reload"):
        return await _call(context, deps, operator, name)
    if (document := DOCUMENTS.get(path.partition("?")[0])) is not None:
        if method not in ("GET", "HEAD"):
            raise CallerError(405, "method_not_allowed", "This path accepts GET.", headers={"Allow": "GET"})
        return document(context, TABLE)
    reply = await run_route(context, deps, operator, TABLE, method, path)
    if reply is None:
        raise CallerError(404, "unknown_url", f"There is no {PREFIX}{path.partition('?')[0][:60]}. {_listed()}")
    return reply


async def _call(context: RequestContext, deps: Deps, operator: Operator, name: str) -> Reply:
    """Run POST /admin/v1/<noun>/<verb> with a JSON object as body; the answer is {"data": ...}."""
    if name not in READS and name != "explain":
        check_role(operator, Role.ADMIN)
    if name == "reload":
        problem = await deps.reload(operator.actor)
        if problem is not None:
            raise CallerError(422, "invalid_config", problem)
        return json_reply(context, {"data": {"reloaded": True}})
    fields = await _fields(context)
    asked = _ASKED.get(name)
    if asked is not None:
        data = await asked(context, deps, fields)
        if name == "backup":
            await note_backup(deps, operator.actor, data)
        return json_reply(context, {"data": data})
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
        raise CallerError(400, "invalid_change", str(error), param=error.param) from None
    except LedgerUnavailableError as error:
        raise unwritten(str(error)) from None
    return json_reply(context, {"data": data})


def _listed() -> str:
    resources = sorted({f"{PREFIX}{route.segments[0]}" for route in TABLE.routes})
    calls = (PREFIX + name.replace(".", "/") for name in (*CALLS, *_ASKED, "reload"))
    documents = (PREFIX + name for name in DOCUMENTS)
    return f"There are: {', '.join((*documents, *resources))}; and by POST {', '.join(calls)}."


async def _fields(context: RequestContext) -> dict[str, Any]:
    body = await read_json(context)
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise CallerError(400, "invalid_json", "The body is not valid JSON.") from None
    if not isinstance(fields, dict):
        raise CallerError(400, "invalid_json", "The body must be a JSON object.")
    return fields
