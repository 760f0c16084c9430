"""Answer a request to the operator's API by its route: check, run, and write what the handler returns."""

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
from msgspec.structs import replace
from pydantic import BaseModel

from proxy.core.errors import CallerError, LedgerError, OwnError
from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply
from proxy.storage.admin_posts import PostClaim
from proxy.storage.ledger import LedgerUnavailableError
from proxy.storage.users import MissingError, UserError
from proxy.web.admin.etag import etag_of, matches
from proxy.web.admin.idempotent_post import PostAnswer, post_once, read_claim
from proxy.web.admin.json_bytes import json_bytes
from proxy.web.admin.read import parse_body, parse_query, read_json
from proxy.web.admin.resource_table import ResourceTable
from proxy.web.admin.route import AdminAnswer, AdminRequest, AdminRoute, NoFields, Operator, Role
from proxy.web.deps import Deps
from proxy.web.json_reply import json_reply

_PRIVATE = {"Cache-Control": "no-store"}
_LARGE_BYTES = 200_000  # go through a digest in a tenth of a millisecond


async def run_route(
    context: RequestContext, deps: Deps, operator: Operator, table: ResourceTable, method: str, path: str
) -> Reply | None:
    """Return the answer for a path below /admin/v1/, with its query; None where the table has no such path."""
    path, _, query = path.partition("?")
    found = table.find(path)
    if found is None:
        return None
    methods, parameters = found
    route = methods.get("GET" if method == "HEAD" else method)
    if route is None:
        allowed = ", ".join(sorted(methods))
        raise CallerError(405, "method_not_allowed", f"This path accepts {allowed}.", headers={"Allow": allowed})
    check_role(operator, route.required_role)
    parsed_query, page = parse_query(route, query)
    sent = b"" if route.method == "GET" else await read_json(context, optional=True)
    body = parse_body(route, sent)
    request = AdminRequest(parameters, body, parsed_query, page, operator, context.clock.now_ms(), deps, context)
    if (expected := context.downstream.request_headers.headers.get("If-Match")) is not None:
        request = await _guarded(request, route, table, expected)
    claim = None if route.method != "POST" else read_claim(context, operator.actor.name, f"{path}?{query}", sent)
    if claim is not None:
        return await _reply_once(replace(request, claim=claim), claim, route, table)
    return await _reply(context, table, route, await handled(request, route))


async def _reply_once(request: AdminRequest, claim: PostClaim, route: AdminRoute, table: ResourceTable) -> Reply:
    """Return the answer to a POST with an Idempotency-Key."""

    async def run() -> PostAnswer:
        answer = await handled(request, route)
        return PostAnswer(answer.status or route.status, json_bytes({"data": answer.data}))

    answer = await post_once(request, route, claim, run)
    replayed = {"Idempotent-Replayed": "true"} if answer.is_replayed else {}
    headers = {**_PRIVATE, **_location(table, route, answer.status, orjson.loads(answer.body)["data"]), **replayed}
    return json_reply(request.context, answer.body, answer.status, headers=headers)


def check_role(operator: Operator, needed: Role) -> None:
    """Raise CallerError 403 for an operator who may not do this."""
    if operator.role < needed:
        raise CallerError(
            403,
            "role_not_allowed",
            f"{operator.actor.name} is a {operator.role.name.lower()}, who may read only.",
            type_="permission_error",
        )


async def handled(request: AdminRequest, route: AdminRoute) -> AdminAnswer:
    """Run a handler; what the storage refuses becomes an answer."""
    try:
        return await route.handler(request)
    except MissingError as error:
        raise CallerError(404, "not_found", str(error)) from None
    except UserError as error:
        raise CallerError(400, "invalid_change", str(error), param=error.param) from None
    except LedgerUnavailableError as error:
        raise unwritten(str(error)) from None
    except LedgerError as error:
        raise OwnError(500, "ledger_unavailable", str(error)) from None


def unwritten(reason: str) -> OwnError:
    return OwnError(
        503,
        "ledger_unavailable",
        f"The ledger cannot be written ({reason}), so nothing was changed. See /readyz.",
        retry_after_s=2,
    )


async def _guarded(request: AdminRequest, route: AdminRoute, table: ResourceTable, expected: str) -> AdminRequest:
    """Return a request that changes only the state which If-Match names: checked now, and again before a change."""
    reader = table.reader_of(route)
    if reader is None:
        raise CallerError(400, "invalid_header", "There is no ETag at this path: send no If-Match.")
    query, _ = parse_query(reader, "")
    question = replace(request, body=NoFields(), query=query)

    async def check() -> None:
        answer = await handled(question, reader)
        if not matches(expected, _etag(answer)):
            raise CallerError(
                412,
                "etag_mismatch",
                "It has changed since you read it, so nothing was done. Read it again, then retry.",
            )

    await check()
    return replace(request, check_unchanged=check)


async def _reply(context: RequestContext, table: ResourceTable, route: AdminRoute, answer: AdminAnswer) -> Reply:
    status, data = answer.status or route.status, answer.data
    headers: dict[str, str] = dict(_PRIVATE)
    if isinstance(data, bytes) and len(data) > _LARGE_BYTES:
        etag, body = await asyncio.to_thread(_written, route, answer)
    else:
        etag, body = _written(route, answer)
    if etag is not None:
        headers["ETag"] = etag
        known = context.downstream.request_headers.headers.get("If-None-Match")
        if known is not None and matches(known, etag):
            return json_reply(context, b"", 304, headers=headers)
    headers.update(_location(table, route, status, data))
    return json_reply(context, body, status, headers=headers)


def _written(route: AdminRoute, answer: AdminAnswer) -> tuple[str | None, bytes]:
    """Return the ETag, where the route has one, and the body."""
    data = orjson.Fragment(answer.data) if isinstance(answer.data, bytes) else answer.data
    if route.is_list:
        return None, json_bytes({"data": data, "next_cursor": answer.next_cursor})
    return _etag(answer) if route.method == "GET" else None, json_bytes({"data": data})


def _location(table: ResourceTable, route: AdminRoute, status: int, data: Any) -> Mapping[str, str]:
    """Return the header that names what a POST has made."""
    location = (
        table.location_of(route, data.model_dump() if isinstance(data, BaseModel) else data) if status == 201 else None
    )
    return {} if location is None else {"Location": location}


def _etag(answer: AdminAnswer) -> str:
    return answer.etag or etag_of(answer.data)
