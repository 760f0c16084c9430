"""GET and POST /v1/models/recommend: which of the models that a user may ask for suit a job."""

import orjson

from proxy.core.errors import CallerError
from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply
from proxy.pipeline.identity.authenticate import identify
from proxy.pipeline.request.body import body_at_hand, receive_body
from proxy.web.deps import Deps
from proxy.web.json_reply import json_reply
from proxy.web.recommendation import read_job, read_max_price, recommendation
from proxy.web.server.aiohttp_downstream import aiohttp_request
from proxy.wire.body import BodyError, parse_body

_PARAMETERS = ("needs", "context", "max_price")


async def recommend_models(context: RequestContext, deps: Deps) -> Reply:
    """Answer for what the query says; with POST also for the body of a request, whose model is not needed."""
    services = deps.services
    snapshot = context.snapshot = services.live.current
    identity = identify(context, snapshot.directory)
    request = aiohttp_request(context)
    for name in request.query:
        if name not in _PARAMETERS:
            text = f"{name[:40]!a} is not known here. There are: {', '.join(_PARAMETERS)}."
            raise CallerError(400, "invalid_value", text, param=name[:40] if name.isprintable() else None)
    body = None
    if request.method == "POST":
        raw = body_at_hand(context)
        try:
            body = parse_body(await receive_body(context) if raw is None else raw)
        except BodyError as error:
            raise CallerError(400, error.code, str(error), param=error.param) from None
    needs, length, price = (request.query.get(name) for name in _PARAMETERS)
    most = None if price is None else read_max_price(price)
    found = recommendation(read_job(needs, length, body), most, identity.allowance, services, snapshot)
    return json_reply(context, orjson.dumps(found))
