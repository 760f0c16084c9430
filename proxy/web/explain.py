"""POST /v1/explain: where a request would go and what it could cost at most; nothing is sent, held or booked."""

import orjson
from aiohttp import web

from proxy.core.errors import ApiError
from proxy.core.money import pusd_to_usd
from proxy.pipeline.accept import accept
from proxy.pipeline.authenticate import authenticate
from proxy.pipeline.call import Call
from proxy.pipeline.reserve import quote
from proxy.pipeline.route import plan_route
from proxy.web.me import limit_json
from proxy.web.state import State


async def explain(call: Call, state: State) -> web.StreamResponse:
    """Take the body of a chat completion; answer with targets, the worst case, and whether it would be let in."""
    parts = state.parts
    snapshot = parts.live.current
    identity = authenticate(call.request.headers, snapshot.directory, call.started_ms)
    body, size_bytes = await accept(call, snapshot.settings.server)
    route = plan_route(body, identity, snapshot.presets, snapshot.settings.providers)
    quoted = await quote(call, identity, route, size_bytes, parts, snapshot)
    rows = parts.desk.book.limits_view(identity.allowance.quotas, call.started_ms)
    shown = {
        "user": identity.user,
        "requested_model": route.requested_model,
        "targets": [{"provider": target.provider, "model": target.model} for target in route.targets],
        "admitted": quoted.refusal is None,
        "refusal": None if quoted.refusal is None else _refusal(quoted.refusal),
        "worst_case": None if quoted.amount_pusd is None else pusd_to_usd(quoted.amount_pusd),
        "worst_case_pusd": quoted.amount_pusd,
        "max_tokens": quoted.max_tokens,
        "limits": [limit_json(row) for row in rows],
    }
    return web.Response(
        body=orjson.dumps(shown), content_type="application/json", headers={"x-request-id": call.request_id}
    )


def _refusal(error: ApiError) -> dict[str, object]:
    return {"status": error.status, "code": error.code, "message": error.message}
