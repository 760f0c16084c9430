"""POST /v1/explain: where a request would go and what it could cost at most; nothing is sent, held or booked."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from msgspec.structs import replace

from proxy.core.errors import ApiError, CallerError
from proxy.core.money import pusd_to_usd
from proxy.core.on_spent import REFUSE
from proxy.pipeline.admission.allowance import build_allowance
from proxy.pipeline.admission.bookable_targets import ExcludedTarget, bookable_targets
from proxy.pipeline.admission.eased import Eased, easing_for
from proxy.pipeline.admission.reserve import Quote, TargetQuote, quote
from proxy.pipeline.admission.spent_limit import left_by, limit_text, refusing_quota
from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply
from proxy.pipeline.identity.authenticate import identify
from proxy.pipeline.identity.identify import limited, limited_to
from proxy.pipeline.identity.user_lookup import group_of, stored_allowance
from proxy.pipeline.request.body import read_body
from proxy.pipeline.routing.auto import AutoChoice, auto_choice
from proxy.pipeline.routing.order import ordered_targets
from proxy.pipeline.routing.preferences import default_model
from proxy.pipeline.routing.route import plan_route
from proxy.pipeline.routing.targets import AUTO
from proxy.pipeline.services import Services
from proxy.pipeline.snapshot import Snapshot
from proxy.pipeline.values.identity import Identity
from proxy.pipeline.values.route import Route, Target
from proxy.policy.target_order import Order
from proxy.storage.reports import Reports
from proxy.storage.users import MissingError
from proxy.web.deps import Deps
from proxy.web.json_reply import json_reply
from proxy.web.own.usage import limit_json
from proxy.web.server.aiohttp_downstream import aiohttp_request
from proxy.wire.body import BodyError, dump_body, parse_body
from proxy.wire.endpoint import CHAT, ENDPOINTS, Endpoint

_NO_QUOTE = TargetQuote(None, None)


async def explain(context: RequestContext, deps: Deps) -> Reply:
    """Answer for a body: its targets, its worst case, and whether it would be accepted.

    ``?endpoint=messages`` (or another) says which endpoint the body is for; without it, chat completions.
    """
    context.endpoint = endpoint_named(aiohttp_request(context).query.get("endpoint"))
    services = deps.services
    snapshot = services.live.current
    context.snapshot = snapshot
    identify(context, snapshot.directory)
    await read_body(context)
    shown = await explained(context, services, context.downstream.request_headers.headers.get("X-Tollkeeper-Use-Case"))
    return json_reply(context, shown)


async def explain_for(context: RequestContext, deps: Deps, fields: Mapping[str, Any]) -> dict[str, object]:
    """Answer the operator: fields are body, endpoint, and user (missing or null: a new user with default limits)."""
    context.endpoint = endpoint_named(fields.get("endpoint"))
    user = fields.get("user")
    if user is not None and not isinstance(user, str):
        raise CallerError(400, "invalid_value", "user: the name of a user is needed.", param="user")
    services = deps.services
    snapshot = services.live.current
    row = None
    if user is not None and user not in snapshot.settings.users:
        row = await asyncio.to_thread(stored_user_row, services.reports, user)
    context.snapshot, context.identity = snapshot, identity_of(user, row, snapshot)
    model = default_model(context.identity.allowance.preferences, snapshot.use_cases, None)
    context.body, context.size_bytes = body_in(fields.get("body"), context.endpoint, model)
    return await explained(context, services)


def stored_user_row(reports: Reports, user: str) -> dict[str, Any]:
    """Return the row of a user in the database; raises CallerError 404."""
    try:
        return reports.find_user(user)
    except MissingError as error:
        raise CallerError(404, "not_found", str(error)) from None


def identity_of(user: str | None, row: Mapping[str, Any] | None, snapshot: Snapshot) -> Identity:
    """Return a user's identity without any token; row is the database's if the file does not have the user."""
    settings = snapshot.settings
    name = user or ""
    if name not in settings.users and row is not None:
        return Identity(name, group_of(settings, row), "", stored_allowance(settings, row))
    own = settings.users.get(name)
    group = None if own is None else own.group
    return Identity(name, group, "", build_allowance(settings, name, group, own))


def endpoint_named(name: object) -> Endpoint:
    """Return the endpoint with a name or path; raises CallerError 400 if there is none."""
    if name is None:
        return CHAT
    for endpoint in ENDPOINTS:
        if name in (endpoint.name, endpoint.path) and not endpoint.is_free:
            return endpoint
    names = ", ".join(endpoint.name for endpoint in ENDPOINTS if not endpoint.is_free)
    raise CallerError(400, "invalid_value", f"endpoint must be one of {names}.", param="endpoint")


def body_in(value: object, endpoint: Endpoint = CHAT, model: str | None = None) -> tuple[dict[str, Any], int]:
    """Return the body of a request and its size in bytes; raises CallerError for anything else.

    model: of a body that names none.
    """
    try:
        body = parse_body(orjson.dumps(value))
        if model is not None and body.get("model") in (None, ""):
            body["model"] = model
        endpoint.check(body)
    except (BodyError, TypeError) as error:
        code, param = (error.code, error.param) if isinstance(error, BodyError) else ("invalid_json", None)
        raise CallerError(400, code, f"body: {error}", param=param) from None
    return body, len(dump_body(body))


async def explained(
    context: RequestContext, services: Services, asked_use_case: str | None = None
) -> dict[str, object]:
    """Return the answer as JSON values; raises CallerError for a model that the user may not use."""
    snapshot = context.snapshot
    planned = plan_route(context.body, context.identity, snapshot.routes, asked_use_case, context.endpoint)
    auto = auto_choice(context, planned, services) if planned.targets[0] is AUTO else None
    if auto is not None:
        planned = auto.route
    if planned.use_case is not None:
        context.identity = limited(context.identity, planned.use_case, snapshot)
    context.identity = limited_to(context.identity, planned)
    identity = context.identity
    left_out: tuple[ExcludedTarget, ...] = ()
    if identity.allowance.has_hard_cost:
        planned, left_out = await bookable_targets(context, planned, services)
    planned, halted, refusal = _without_stopped(planned, identity, snapshot, services)
    eased = easing_for(identity, planned, context, services)
    planned = eased.route
    route, order = ordered_targets(context, planned, services)
    route, order, quoted, spent, then = await _as_quoted(context, route, order, services)
    identity = context.identity
    refusal = refusal or quoted.refusal
    rows = await services.limiter.limits(identity.allowance.quotas, context.started_ms)
    return {
        "user": identity.user,
        "requested_model": route.requested_model,
        "preset": route.preset,
        "select": route.select,
        "note": order.note,
        "targets": _with_quotes(
            _with_reasons(targets_json(route, order, context.started_ms, services, snapshot), route, auto), quoted
        ),
        "left_out": [
            {"provider": left.provider, "model": left.model, "reason": one.reason}
            for one in order.left_out
            for left in (planned.targets[one.position],)
        ]
        + [
            {"provider": one.target.provider, "model": one.target.model, "reason": f"{one.reason}, under a hard limit"}
            for one in left_out
        ]
        + [_excluded(one) for one in (*spent, *eased.left_out)]
        + _disabled(planned, snapshot)
        + ([] if auto is None else [_excluded(one) for one in auto.left_out])
        + [{"provider": one.provider, "model": one.model, "reason": "stopped by the operator"} for one in halted],
        "admitted": refusal is None,
        "refusal": None if refusal is None else _refusal(refusal),
        "then": "; ".join(filter(None, (*_eased(eased), then))) or None,
        "worst_case": None if quoted.amount_pusd is None else pusd_to_usd(quoted.amount_pusd),
        "worst_case_pusd": quoted.amount_pusd,
        "max_tokens": quoted.max_tokens,
        "limits": [limit_json(row) for row in rows],
    }


def _eased(eased: Eased) -> Sequence[str]:
    """Return what the operator has set to be done for the request, in words."""
    stops = (*eased.slow, *(() if eased.downgrade is None else (eased.downgrade,)))
    return [f"{stop.requests} are set to {stop.outcome.text} by the operator" for stop in stops]


def _excluded(one: ExcludedTarget) -> dict[str, object]:
    return {"provider": one.target.provider, "model": one.target.model, "reason": one.reason}


def _with_reasons(shown: list[dict[str, object]], route: Route, auto: AutoChoice | None) -> list[dict[str, object]]:
    """Return the targets with why auto has picked each, where it has."""
    if auto is None:
        return shown
    pairs = zip(shown, route.targets, strict=True)
    return [
        {**one, "reason": auto.reasons.get((target.provider, target.model), one["reason"])} for one, target in pairs
    ]


def _with_quotes(shown: list[dict[str, object]], quoted: Quote) -> list[dict[str, object]]:
    """Return the targets with what each would be sent as max_tokens, and what it can cost; null where it is refused."""
    quotes = quoted.targets or (_NO_QUOTE,) * len(shown)
    return [
        {
            **one,
            "max_tokens": found.max_tokens,
            "worst_case": None if found.amount_pusd is None else pusd_to_usd(found.amount_pusd),
            "worst_case_pusd": found.amount_pusd,
        }
        for one, found in zip(shown, quotes, strict=True)
    ]


async def _as_quoted(
    context: RequestContext, route: Route, order: Order, services: Services
) -> tuple[Route, Order, Quote, tuple[ExcludedTarget, ...], str | None]:
    """Return the route and its quote without targets whose limits are spent, these, and what follows a refusal."""
    spent: tuple[ExcludedTarget, ...] = ()
    while True:
        quoted = await quote(context, route, services)
        refusal = quoted.refusal
        quota = None if refusal is None else refusing_quota(context.identity.allowance, refusal)
        if quota is None:
            return route, order, quoted, spent, None
        kept, out = left_by(quota, route)
        if not kept:
            then = None if quota.on_spent == REFUSE else f"{limit_text(quota)}: {quota.on_spent.text}"
            return route, order, quoted, spent, then
        placed = tuple(one for one, target in zip(order.placed, route.targets, strict=False) if target in kept)
        route, order, spent = replace(route, targets=kept), order._replace(placed=placed), (*spent, *out)
        context.identity = limited_to(context.identity, route)


def _disabled(route: Route, snapshot: Snapshot) -> list[dict[str, object]]:
    """Return the targets of the preset that the operator has disabled."""
    preset = None if route.preset is None else snapshot.presets.get(route.preset)
    found = () if preset is None else preset.disabled
    return [
        {"provider": target.provider, "model": target.model, "reason": f"disabled by {setting}"}
        for target, setting in found
    ]


def _without_stopped(
    route: Route, identity: Identity, snapshot: Snapshot, services: Services
) -> tuple[Route, Sequence[Target], ApiError | None]:
    """Return the route as it may be taken now, what is left out as stopped, and the refusal where nothing may go on."""
    stops = services.stops
    if not stops.active:
        return route, (), None
    halted = [target for target in route.targets if stops.of_target(target) is not None]
    refusal: ApiError | None = stops.refusal_of(identity, snapshot, route.preset)
    try:
        return stops.narrowed(route), halted, refusal
    except ApiError as error:
        return route, halted, refusal or error


def targets_json(
    route: Route, order: Order, now_ms: int, services: Services, snapshot: Snapshot
) -> list[dict[str, object]]:
    """Return the targets in the order in which they are tried: why each stands there, and which is asked first.

    Nothing is changed: no probe is taken and no key's turn used.
    """
    found: list[dict[str, object]] = []
    is_chosen = False
    for n, target in enumerate(route.targets):
        provider = snapshot.provider_of(target)
        health = services.health.of(provider)
        deps = health.state(target.model)
        key_in_ms = health.ring.usable_in_ms(now_ms, target.model)
        is_used_up = len(health.used_up(now_ms)) == len(provider.keys)
        may_go = deps != "open" and key_in_ms == 0 and not is_used_up
        found.append(
            {
                "provider": target.provider,
                "model": target.model,
                "chosen": may_go and not is_chosen,
                "reason": order.placed[n].reason
                if n < len(order.placed)
                else "canned answers, when no other target answers",
                "breaker": deps,
                "key": "used up" if is_used_up else _key_word(key_in_ms),
            }
        )
        is_chosen = is_chosen or may_go
    return found


def _key_word(usable_in_ms: int | None) -> str:
    if usable_in_ms is None:
        return "none is valid"
    return "usable" if usable_in_ms == 0 else "set aside"


def _refusal(error: ApiError) -> dict[str, object]:
    limit = {} if error.limit is None else error.limit.as_json()
    return {"status": error.status, "code": error.code, "message": error.message, **limit}
