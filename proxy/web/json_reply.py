"""An answer of ours in JSON."""

from collections.abc import Mapping
from types import MappingProxyType

import orjson

from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply

_NONE: Mapping[str, str] = MappingProxyType({})


def json_reply(
    context: RequestContext, body: object, status: int = 200, *, headers: Mapping[str, str] = _NONE
) -> Reply:
    """Return an answer with a JSON body and the id of its request.

    body: what orjson can write, or bytes that are JSON already.
    """
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    fields = {"Content-Type": "application/json", "x-request-id": context.request_id, **headers}
    return context.client.whole(status, fields, data, context.started_ms)
