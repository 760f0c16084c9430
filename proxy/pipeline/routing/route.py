"""The route: model name -> the targets of the request and the body for them. Pure."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from proxy.core.errors import CallerError
from proxy.pipeline.routing.preferences import with_preferences
from proxy.pipeline.routing.targets import AUTO, ModelDisabledError, RouteTable, TargetsByName
from proxy.pipeline.values.identity import Identity
from proxy.pipeline.values.preset import PresetRow
from proxy.pipeline.values.route import Route, Target, with_room_to_think
from proxy.policy.prompt_template import VariableError, fill, names_in
from proxy.wire.endpoint import CHAT, Endpoint

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def plan_route(
    body: dict[str, Any],
    identity: Identity,
    table: RouteTable,
    asked_use_case: str | None = None,
    endpoint: Endpoint = CHAT,
) -> Route:
    """Choose the targets. asked_use_case is what the client's header says.

    Raises CallerError 400 for a variable of the preset's prompt, and for a preset of canned answers at an endpoint that
    has none; 403 and 404 for the model.
    """
    presets, targets_of, use_cases = table
    model: str = body["model"]
    name = model
    preferences = identity.allowance.preferences
    if model not in presets and asked_use_case is not None:
        name = (use_cases if preferences is None else preferences.use_cases).get(asked_use_case, model)
    others = endpoint.others(body) if "models" in body or "fallbacks" in body else ()
    if identity.allowance.models is not None:
        for asked in (name, *others):
            if not identity.allowance.allows(asked):
                raise _not_allowed(asked, identity)
    preset = presets.get(name)
    if preset is None and not others:
        route = Route((targets_of[model],), body, model, asked_use_case, endpoint=endpoint)
        return route if preferences is None else with_preferences(route, preferences, lists_models=False)
    targets = preset.targets if preset is not None else (targets_of[model],)
    if not targets and preset is not None:
        raise ModelDisabledError(name, ", ".join(sorted({setting for _, setting in preset.disabled})))
    if others:  # the provider must not try them itself: each attempt is priced and booked here
        body = endpoint.without_others(body)
        targets = _with_others(targets, others, presets, targets_of)
    if endpoint.kind != "chat":
        targets = _asked(targets, name)
    route = (
        Route(targets, body, model, asked_use_case, endpoint=endpoint)
        if preset is None
        else _preset_route(preset, targets, body, asked_use_case, endpoint)
    )
    return route if preferences is None else with_preferences(route, preferences, lists_models=bool(others))


def _preset_route(
    preset: PresetRow, targets: tuple[Target, ...], body: dict[str, Any], asked_use_case: str | None, endpoint: Endpoint
) -> Route:
    return Route(
        targets,
        _under(preset, body, endpoint),
        body["model"],
        preset.use_case if preset.is_limited else asked_use_case or preset.use_case,
        preset.name,
        preset.select,
        body,
        None,
        preset.deadline_s,
        preset.checks,
        preset.check_moves_on,
        endpoint,
    )


def _not_allowed(model: str, identity: Identity) -> CallerError:
    may = ", ".join(identity.allowance.models or ())
    return CallerError(
        403,
        "model_not_allowed",
        f'User "{identity.user}" may use: {may}. Ask the operator to add "{model}" to users.{identity.user}.models.',
        type_="permission_error",
        param="model",
    )


def _with_others(
    targets: tuple[Target, ...],
    others: Sequence[str],
    presets: Mapping[str, PresetRow],
    targets_of: TargetsByName,
) -> tuple[Target, ...]:
    """Return the targets followed by the client's own list of models, each once, a static one last."""
    added: list[Target] = []
    for other in others:
        try:
            added += presets[other].targets if other in presets else (targets_of[other],)
        except ModelDisabledError:  # the others are what it would have been followed by
            continue
    if AUTO in added:
        text = "auto picks its own models to fall back on. Ask for it as model, or name others."
        raise CallerError(400, "invalid_value", text, param="models")
    found: dict[tuple[str, str], Target] = {}
    for target in (*targets, *added):
        found.setdefault((target.provider, target.model), target)
    ordered = sorted(found.values(), key=lambda target: target.static is not None)
    return tuple(ordered)


def _asked(targets: tuple[Target, ...], name: str) -> tuple[Target, ...]:
    """Return the targets without static answers, which are chat completions; raises CallerError if none is left."""
    asked = tuple(target for target in targets if target.static is None)
    if not asked:
        text = f'Preset "{name}" has only static answers, which are chat completions: POST /v1/chat/completions.'
        raise CallerError(400, "invalid_value", text, param="model")
    return asked


def _under(preset: PresetRow, body: dict[str, Any], endpoint: Endpoint) -> dict[str, Any]:
    """Return the body with the preset's parameters where the client sent none, and its system prompt in front."""
    merged = with_room_to_think(endpoint.with_defaults(preset.defaults, body), body, endpoint)
    if preset.system is not None:
        given = body.get("metadata")
        given = given if isinstance(given, dict) else {}
        prompt = _filled(preset.system, preset, given)
        merged = dict(endpoint.with_system(merged, prompt))
        used = names_in(preset.system)
        if used & given.keys():  # they were meant for the prompt; providers take metadata only in some modes
            merged["metadata"] = {name: value for name, value in given.items() if name not in used}
            if not merged["metadata"]:
                del merged["metadata"]
    return merged


def _filled(system: str, preset: PresetRow, given: Mapping[str, Any]) -> str:
    try:
        return fill(system, preset.variables, given)
    except VariableError as error:
        problem = (str(error), f"metadata.{error.name}", error.problem)
    text, param, problem_kind = problem  # outside the except block, whose error would hold the values
    code = "missing_required_parameter" if problem_kind == "missing" else "invalid_value"
    raise CallerError(400, code, f'Preset "{preset.name}": {text}', param=param)
