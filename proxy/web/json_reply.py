"""An answer of ours: whatever it holds, it names its request."""

from collections.abc import Mapping
from types import MappingProxyType

from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply
from proxy.web.write_json import write_json

_NONE: Mapping[str, str] = MappingProxyType({})


def json_reply(
    context: RequestContext, body: object, status: int = 200, *, headers: Mapping[str, str] = _NONE
) -> Reply:
    """Return an answer with a JSON body: what orjson can write, or bytes that are JSON already."""
    data = body if isinstance(body, bytes) else write_json(body)
    return own_reply(context, status, {"Content-Type": "application/json", **headers}, data)


def own_reply(context: RequestContext, status: int, headers: Mapping[str, str], body: bytes = b"") -> Reply:
    """Return an answer with these headers and the id of its request."""
    return context.downstream.whole(status, {**headers, "x-request-id": context.request_id}, body, context.started_ms)
