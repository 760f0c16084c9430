"""count: pass on a question that costs nothing (how many tokens a prompt has), with neither reservation nor row."""

from proxy.core.errors import ApiError
from proxy.pipeline.accept import accept
from proxy.pipeline.attempt import read_error, request_headers, upstream_headers
from proxy.pipeline.authenticate import Identity, identify
from proxy.pipeline.call import Call
from proxy.pipeline.client import Reply
from proxy.pipeline.parts import Parts
from proxy.pipeline.refused import broken, failed_inside, refused
from proxy.pipeline.resting import resting
from proxy.pipeline.route import Route, Target, plan_route
from proxy.policy.fallback import decide
from proxy.providers.key import Key
from proxy.providers.rows import ProviderRow
from proxy.providers.transport import TransportError
from proxy.wire.body import dump_body
from proxy.wire.error import is_json_body
from proxy.wire.headers import pick_response_headers
from proxy.wire.redact import redacted


async def count(call: Call, parts: Parts) -> Reply:
    """Ask the targets in their order until one answers; raises ApiError where none does.

    Nothing is held against limits, for nothing is spent; who may not use a model may not ask this either.
    """
    snapshot = parts.live.current
    identity = identify(call, snapshot.directory)
    body, _ = await accept(call, snapshot.settings.server)
    route = plan_route(body, identity, snapshot.presets, snapshot.targets, None, snapshot.use_cases, call.endpoint)
    failure: ApiError | None = None
    for target in route.targets:
        provider = snapshot.provider_of(target)
        key = _key(identity, provider, target, call, parts)
        if key is None:
            continue
        try:
            return await _ask(call, route, target, provider, key, is_last=target is route.targets[-1])
        except ApiError as error:
            failure = error
    raise failure or resting(route, parts.health, snapshot, call.clock)


def _key(identity: Identity, provider: ProviderRow, target: Target, call: Call, parts: Parts) -> Key | None:
    own = identity.own_keys.get(provider.name)
    if own is not None:
        return own
    index = parts.health.of(provider).choose_key(target.model, call.started_ms)
    return None if index is None else provider.keys[index]


async def _ask(call: Call, route: Route, target: Target, provider: ProviderRow, key: Key, *, is_last: bool) -> Reply:
    """Ask one target; its own refusal is passed on where no other could answer, else raised."""
    said = request_headers(call.client.said)
    prepared = provider.dialect.prepare(route.body_for(target), target.model, asks_usage=False)
    headers = upstream_headers(said, provider, key, streamed=False)
    url = provider.url(route.endpoint.path)
    deadlines = target.deadlines or provider.deadlines_for(target.model)
    try:
        answer = await provider.transport.send("POST", url, headers, dump_body(prepared.body), deadlines)
        body = redacted(await read_error(answer), key.quoted_bytes)
    except TransportError as error:
        raise broken(error, provider) from None
    if not 200 <= answer.status < 300:
        now_ms = call.clock.now_ms()
        found = refused(answer, body, provider, key.name, now_ms)
        if not found.is_passed_on or (not is_last and "next_target" in decide(found.failure, now_ms).steps):
            raise found.error
    elif not is_json_body(body):
        raise failed_inside(provider, "answered with something that is no count")
    given = dict(pick_response_headers(answer.headers, key.quoted))
    given.update(
        {
            "x-request-id": call.request_id,
            "request-id": call.request_id,
            "x-tollkeeper-model": target.model,
            "x-tollkeeper-provider": target.provider,
        }
    )
    return call.client.whole(answer.status, given, body, call.started_ms)
