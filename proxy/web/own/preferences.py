"""GET, PUT, PATCH, DELETE /v1/me/preferences: what users set for themselves, where the operator lets them."""

import math
from collections.abc import Mapping
from typing import Any

import orjson

from proxy.config.preferences import PreferenceSettings
from proxy.config.show import given_json
from proxy.core.errors import CallerError, OwnError
from proxy.pipeline.admission.unknown_model import lacks, names, not_found
from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import BodyIncompleteError, BodyTooLargeError, Reply
from proxy.pipeline.identity.authenticate import identify
from proxy.pipeline.services import Services
from proxy.pipeline.values.identity import Identity
from proxy.storage.audit import Actor
from proxy.storage.ledger import LedgerUnavailableError
from proxy.storage.preferences import read_preferences
from proxy.storage.users import UserError
from proxy.web.admin.etag import etag_of, matches
from proxy.web.deps import Deps
from proxy.web.json_reply import json_reply

_BODY_MAX_BYTES = 64 << 10
_BODY_TIMEOUT_S = 30.0
FIELDS = tuple(PreferenceSettings.fields)


async def show_preferences(context: RequestContext, deps: Deps) -> Reply:
    """Answer with what the user has set, and with what is in force: theirs over what the operator says."""
    return _reply(context, deps, _let_in(context, deps))


async def replace_preferences(context: RequestContext, deps: Deps) -> Reply:
    """Set all of them; what the body does not name is as the operator says."""
    identity, wanted = _let_in(context, deps), await _document(context)
    return await _set(context, deps, identity, wanted)


async def change_preferences(context: RequestContext, deps: Deps) -> Reply:
    """Set those that the body names; null leaves one to the operator."""
    identity, changes = _let_in(context, deps), await _document(context)
    async with deps.changes:
        before = own_preferences(deps, identity.user)
        wanted = {name: value for name, value in {**before, **changes}.items() if value is not None}
        return await _set_now(context, deps, identity, wanted)


async def remove_preferences(context: RequestContext, deps: Deps) -> Reply:
    """Leave all of them to the operator; doing it twice is no error."""
    identity = _let_in(context, deps)
    async with deps.changes:
        _check_unchanged(context, deps, identity)
        if identity.user in deps.services.live.current.settings.preferred:
            await _change(context, deps, _actor(identity), "preferences.remove", {"user": identity.user})
    return _reply(context, deps, identity)


def _let_in(context: RequestContext, deps: Deps) -> Identity:
    """Return who asks; raises CallerError 403 for a user who may set nothing."""
    snapshot = deps.services.live.current
    context.snapshot = snapshot
    identity = identify(context, snapshot.directory)
    _check_may_prefer(identity)
    return identity


def _check_may_prefer(identity: Identity) -> None:
    if not identity.allowance.may_prefer:
        raise CallerError(
            403,
            "preferences_closed",
            f"User {identity.user!r} may not set preferences. Operator: preferences: true for the user, the group, or"
            " under defaults.",
            type_="permission_error",
        )


async def _document(context: RequestContext) -> dict[str, Any]:
    if context.downstream.request_headers.headers.get("Content-Type", "").partition(";")[0].strip().lower() != (
        "application/json"
    ):
        raise CallerError(
            415, "unsupported_content_type", 'Send the body with "Content-Type: application/json".', close=True
        )
    try:
        body = await context.downstream.read_body(_BODY_MAX_BYTES, _BODY_TIMEOUT_S)
    except BodyTooLargeError:
        raise CallerError(413, "body_too_large", "The body is larger than 64 KiB.", close=True) from None
    except (BodyIncompleteError, TimeoutError):
        raise CallerError(400, "body_incomplete", "The body ended before it was complete.", close=True) from None
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise CallerError(400, "invalid_json", "The body must be a JSON object.")
    for name in document:
        if name not in FIELDS:
            text = f"{name[:64]!a} cannot be preferred. There are: {', '.join(FIELDS)}."
            raise CallerError(400, "invalid_value", text, param=name[:64] if name.isprintable() else None)
    return document


async def _set(context: RequestContext, deps: Deps, identity: Identity, wanted: Mapping[str, Any]) -> Reply:
    async with deps.changes:
        return await _set_now(context, deps, identity, {k: v for k, v in wanted.items() if v is not None})


async def _set_now(context: RequestContext, deps: Deps, identity: Identity, wanted: Mapping[str, Any]) -> Reply:
    """Set them under the lock of changes; raises CallerError for what this user may not prefer."""
    _check_unchanged(context, deps, identity)
    await _store(context, deps, identity, wanted, _actor(identity))
    return _reply(context, deps, identity)


async def set_preferences(
    context: RequestContext, deps: Deps, identity: Identity, wanted: Mapping[str, Any], actor: Actor
) -> None:
    """Set all that a user prefers; raises CallerError for what this user may not prefer."""
    _check_may_prefer(identity)
    async with deps.changes:
        await _store(context, deps, identity, wanted, actor)


async def _store(
    context: RequestContext, deps: Deps, identity: Identity, wanted: Mapping[str, Any], actor: Actor
) -> None:
    try:
        settings = read_preferences(wanted)
    except UserError as error:
        text = str(error)
        raise CallerError(400, "invalid_value", text, param=text.partition(":")[0]) from None
    check_preferences(settings, identity, deps.services)
    if settings != deps.services.live.current.settings.preferred.get(identity.user):
        fields = {"user": identity.user, "settings": dict(wanted)}
        await _change(context, deps, actor, "preferences.set", fields)


def _actor(identity: Identity) -> Actor:
    return Actor(f"token {identity.token_id}", "request")


def check_preferences(settings: PreferenceSettings, identity: Identity, services: Services) -> None:
    """Raise CallerError for what does not exist, is disabled, or is not for this user to ask for."""
    snapshot = services.live.current
    presets = [("default_preset", settings.default_preset)] if settings.default_preset is not None else []
    presets += [(f"use_cases.{name}", preset) for name, preset in settings.use_cases.items()]
    for param, preset in presets:
        if preset not in snapshot.presets:
            raise CallerError(400, "invalid_value", f'There is no preset "{preset}". GET /v1/models.', param=param)
    named = presets + ([("default_model", settings.default_model)] if settings.default_model is not None else [])
    for param, model in named:
        if not identity.allowance.allows(model):
            text = f'You may not use "{model}". GET /v1/models lists what you may.'
            raise CallerError(403, "model_not_allowed", text, type_="permission_error", param=param)
        if model not in snapshot.presets:
            _check_model(model, param, identity, services)


def _check_model(model: str, param: str, identity: Identity, services: Services) -> None:
    target = services.live.current.routes.targets[model]  # raises where it is disabled
    if lacks(services.model_lists.listing(target.provider), target.model):
        known = names(services, services.live.current)
        error = not_found(model, known, identity.allowance)
        if error is not None:
            raise CallerError(400, "invalid_value", error.message, param=param)


async def _change(context: RequestContext, deps: Deps, actor: Actor, operation: str, fields: Mapping[str, Any]) -> None:
    """Make a change under the lock of changes: all that is in force is built anew.

    Raises CallerError 429 for too many of them.
    """
    wait_s = deps.preference_pace.wait_s(fields["user"], context.started_s)
    if wait_s > 0:
        raise CallerError(
            429,
            "too_many_changes",
            f"You change your preferences too often. Try again in {math.ceil(wait_s)} s.",
            type_="rate_limit_error",
            retry_after_s=math.ceil(wait_s),
        )
    try:
        await deps.change(operation, now_ms=context.started_ms, actor=actor, fields=fields)
    except LedgerUnavailableError as error:
        raise OwnError(
            503,
            "ledger_unavailable",
            f"The ledger cannot be written ({error}), so nothing was changed. Try again soon.",
            retry_after_s=2,
        ) from None


def own_preferences(deps: Deps, user: str) -> dict[str, Any]:
    """Return what a user has set, in the words of the document."""
    found = deps.services.live.current.settings.preferred.get(user)
    return {} if found is None else given_json(found)


def _check_unchanged(context: RequestContext, deps: Deps, identity: Identity) -> None:
    """Raise CallerError 412 where If-Match names another state than that in force."""
    expected = context.downstream.request_headers.headers.get("If-Match")
    if expected is not None and not matches(expected, etag_of(own_preferences(deps, identity.user))):
        raise CallerError(412, "etag_mismatch", "Your preferences have changed since. Read them again, then retry.")


def _reply(context: RequestContext, deps: Deps, identity: Identity) -> Reply:
    allowance = identify(context, deps.services.live.current.directory).allowance  # as it is now
    own, preferences = own_preferences(deps, identity.user), allowance.preferences
    in_force = {
        "default_model": None if preferences is None else preferences.model,
        "parameters": {} if preferences is None else dict(preferences.parameters),
        "fallback": preferences is None or preferences.fallback,
        "cheapest": preferences is not None and preferences.cheapest,
        "use_cases": dict(deps.services.live.current.use_cases if preferences is None else preferences.use_cases),
    }
    body = {"user": identity.user, "preferences": own, "in_force": in_force}
    return json_reply(context, body, headers={"ETag": etag_of(own), "Cache-Control": "private, no-cache"})
