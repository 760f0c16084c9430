"""Pass on a question that costs nothing (how many tokens a prompt has), without reservation or row."""

from proxy.core.errors import ApiError
from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply
from proxy.pipeline.errors import draining
from proxy.pipeline.identity.authenticate import identify
from proxy.pipeline.relay.response_headers import free_headers
from proxy.pipeline.request.body import read_body
from proxy.pipeline.routing.auto import pick_models
from proxy.pipeline.routing.route import plan_route
from proxy.pipeline.routing.targets import AUTO
from proxy.pipeline.services import Services
from proxy.pipeline.upstream.no_target_errors import no_target_error
from proxy.pipeline.upstream.send import read_error, upstream_headers
from proxy.pipeline.upstream.translation import translate_request
from proxy.pipeline.upstream.upstream_errors import error_in_answer, transport_error, upstream_status_error
from proxy.pipeline.values.identity import Identity
from proxy.pipeline.values.route import Route, Target
from proxy.policy.failure_table import decide
from proxy.providers.key import Key
from proxy.providers.provider import ProviderRow
from proxy.providers.translated import TranslatedResponse
from proxy.providers.transport.base import TransportError, UpstreamResponse
from proxy.wire.body import dump_body
from proxy.wire.error import is_json_body
from proxy.wire.redact import redacted


async def pass_on_count(context: RequestContext, services: Services) -> Reply:
    """Ask the targets in their order until one answers; raises ApiError where none does.

    Nothing is reserved, for nothing is spent; users who may not use a model may not ask this either.
    """
    if services.draining:
        raise draining()
    snapshot = context.snapshot = services.live.current
    identity = identify(context, snapshot.directory)
    if services.stops.active:
        services.stops.check(context)
    await read_body(context)
    route = plan_route(context.body, identity, snapshot.routes, endpoint=context.endpoint)
    if route.targets[0] is AUTO:
        route = pick_models(context, route, services)
    if services.stops.active:
        route = services.stops.open_route(context, route)
    failure: ApiError | None = None
    targets = route.targets[:1] if route.only_first else route.targets
    for target in targets:
        provider = snapshot.provider_of(target)
        key = _key(identity, provider, target, context, services)
        if key is None:
            continue
        try:
            return await _ask(context, route, target, provider, key, is_last=target is targets[-1])
        except ApiError as error:
            failure = error
    raise failure or no_target_error(route, services.health, context)


def _key(
    identity: Identity, provider: ProviderRow, target: Target, context: RequestContext, services: Services
) -> Key | None:
    own = identity.own_keys.get(provider.name)
    if own is not None:
        return own if own.problem is None else None
    index = services.health.of(provider).choose_key(target.model, context.started_ms)
    return None if index is None else provider.keys[index]


async def _ask(
    context: RequestContext, route: Route, target: Target, provider: ProviderRow, key: Key, *, is_last: bool
) -> Reply:
    """Ask one target; its refusal is passed on if no other target could answer, else raised."""
    prepared, _ = provider.dialect.prepare(route.body_for(target), target.model, route.endpoint)
    sent = upstream_headers(context.downstream.request_headers, provider, key, streamed=False)
    url = provider.url(provider.dialect.path(route.endpoint, target.model, streamed=False))
    translator, told = translate_request(provider, route.endpoint, prepared)
    deadlines = target.deadlines or provider.deadlines_for(target.model)
    try:
        answer: UpstreamResponse = await provider.transport.send("POST", url, sent, dump_body(told), deadlines)
        if translator is not None:
            answer = TranslatedResponse(answer, translator)
        body = redacted(await read_error(answer), key.quoted_bytes)
    except TransportError as error:
        raise transport_error(error, provider) from None
    if not 200 <= answer.status < 300:
        now_ms = context.clock.now_ms()
        found = upstream_status_error(answer, body, provider, key.name, now_ms)
        if not found.is_passed_on or (not is_last and "next_target" in decide(found.failure, now_ms).steps):
            raise found.error
    elif not is_json_body(body):
        raise error_in_answer(provider, "answered without a token count")
    headers = free_headers(context, answer, target, key.quoted)
    return context.whole(answer.status, headers, body)
