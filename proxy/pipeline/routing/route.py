"""route: model name -> the targets of the request and the body that goes there. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from proxy.config.schema import Provider, split_target
from proxy.core.errors import CallerError
from proxy.pipeline.identity.authenticate import Identity
from proxy.policy.answer_check import CheckRules
from proxy.policy.pricing import thinking_budget
from proxy.policy.prompt_template import Variable, VariableError, fill, names_in
from proxy.policy.target_order import Select
from proxy.providers.deadlines import Deadlines
from proxy.wire.endpoint import CHAT, Endpoint

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_TARGETS_MAX = 1000  # names of models come from callers, and must not fill memory


@dataclass(frozen=True, slots=True)
class Target:
    """One model at one provider (the name of a row of the configuration).

    defaults go under the client's own parameters and over the preset's. deadlines None: the provider's. handed: models
    that this provider falls back on by itself. static: the preset whose canned texts answer; there is no provider then.
    """

    provider: str
    model: str
    deadlines: Deadlines | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    weight: int | None = None
    handed: tuple[str, ...] = ()
    static: str | None = None


class TargetsByName(dict[str, Target]):
    """The targets of names that are no presets, each made when it is asked for first; raises CallerError 404."""

    def __init__(self, providers: Mapping[str, Provider]) -> None:
        """Take the configured providers, the default one first."""
        super().__init__()
        self._providers = providers

    def __missing__(self, model: str) -> Target:
        target = resolve(model, self._providers)
        if len(self) >= _TARGETS_MAX:
            self.clear()
        self[model] = target
        return target


@dataclass(frozen=True, slots=True)
class PresetRow:
    """A named virtual model. defaults are parameters under the client's own."""

    name: str
    targets: tuple[Target, ...]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    system: str | None = None
    use_case: str | None = None
    variables: Mapping[str, Variable] = field(default_factory=dict)
    select: Select = "ordered"
    deadline_s: float | None = None
    checks: CheckRules | None = None
    check_moves_on: bool = False
    is_limited: bool = False  # its use case has limits of its own, which no header of the client's leads around


@dataclass(slots=True, eq=False)
class Route:
    """Where a request may go, in order, and the body that goes there; model and usage are filled in a target.

    use_case: what it is booked under. asked: the body that the client sent; None: body is that. max_tokens: the most
    that may be asked for, where a limit says so. maxima: that as each target takes it, by provider and model, where it
    is the proxy that writes it; None: it is left out there. deadline_s: for the whole of it; None: routing.deadline_s.
    """

    targets: tuple[Target, ...]
    body: dict[str, Any]
    requested_model: str
    use_case: str | None
    preset: str | None = None
    select: Select = "ordered"
    asked: Mapping[str, Any] | None = None
    max_tokens: int | None = None
    deadline_s: float | None = None
    checks: CheckRules | None = None  # what an answer must be
    check_moves_on: bool = False  # what it is not goes to the next target, where it is not streamed
    endpoint: Endpoint = CHAT
    maxima: Mapping[tuple[str, str], int | None] | None = None

    @property
    def sent(self) -> Mapping[str, Any]:
        """Return the body that the client sent: its fields are never changed or taken back."""
        return self.body if self.asked is None else self.asked

    @property
    def writes_maximum(self) -> bool:
        """Tell whether a bound of the answer is the proxy's own word."""
        sent = self.body if self.asked is None else self.asked  # as sent
        for name in self.endpoint.maximum:  # noqa: SIM110 - all() would take three times as long
            if sent.get(name) is not None:
                return False
        return True

    def within(self, max_tokens: int) -> "Route":
        """Give the route with the longest answer that a limit allows written into its body."""
        return Route(
            self.targets,
            self.endpoint.with_maximum(self.body, max_tokens),
            self.requested_model,
            self.use_case,
            self.preset,
            self.select,
            self.sent,
            max_tokens,
            self.deadline_s,
            self.checks,
            self.check_moves_on,
            self.endpoint,
        )

    def with_maxima(self, maxima: Mapping[tuple[str, str], int | None]) -> "Route":
        """Return the route with the bound of the answer as each target takes it."""
        return replace(self, asked=self.sent, maxima=maxima)

    def with_bound(self, target: Target, tokens: int | None) -> "Route":
        """Return the route with another bound of the answer for one target; None: it is left out there."""
        return self.with_maxima({**(self.maxima or {}), (target.provider, target.model): tokens})

    def unraised(self) -> "Route":
        """Return the route with the bound of the answer that was reserved for."""
        return replace(self, maxima=None)

    def body_for(self, target: Target) -> dict[str, Any]:
        """Give the body that goes to one target."""
        if not target.defaults and not target.handed and self.maxima is None:
            return self.body
        body = self.endpoint.with_target_defaults(target.defaults, self.body, self.sent)
        if target.defaults:
            body = with_room_to_think(body, self.sent, self.endpoint)
        most, place = self.max_tokens, (target.provider, target.model)
        if self.maxima is not None and place in self.maxima:
            most = self.maxima[place]
            bounds = [name for name in self.endpoint.maximum if type(body.get(name)) is int]
            if most is None:
                body = {name: value for name, value in body.items() if name not in bounds}
            else:
                body = {**body, **dict.fromkeys(bounds, most)}
        if most is not None:
            for name in self.endpoint.maximum:
                if type(body.get(name)) is int:
                    body[name] = min(body[name], most)
        if target.handed:
            body["models"] = list(target.handed)
        return body


def plan_route(
    body: dict[str, Any],
    identity: Identity,
    presets: Mapping[str, PresetRow],
    targets_of: TargetsByName,
    asked_use_case: str | None = None,
    use_cases: Mapping[str, str] = _NOTHING,
    endpoint: Endpoint = CHAT,
) -> Route:
    """Choose the targets.

    asked_use_case is what the client's header says; use_cases gives the preset of one for a model that is no preset.
    Raises CallerError 400 for a variable of the preset's prompt, and for a preset of canned answers at an endpoint that
    has none; 403 and 404 for the model.
    """
    model: str = body["model"]
    name = model
    if model not in presets and asked_use_case is not None:
        name = use_cases.get(asked_use_case, model)
    others = endpoint.others(body)
    if identity.allowance.models is not None:
        for asked in (name, *others):
            if not identity.allowance.allows(asked):
                raise _not_allowed(asked, identity)
    preset = presets.get(name)
    if preset is None and not others:
        return Route((targets_of[model],), body, model, asked_use_case, endpoint=endpoint)
    targets = preset.targets if preset is not None else (targets_of[model],)
    if others:  # the provider is not to walk them: each attempt is priced and booked here
        body = endpoint.without_others(body)
        targets = _with_others(targets, others, presets, targets_of)
    if endpoint.kind != "chat":
        targets = _asked(targets, name)
    if preset is None:
        return Route(targets, body, model, asked_use_case, endpoint=endpoint)
    return Route(
        targets,
        _under(preset, body, endpoint),
        model,
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


def resolve(model: str, providers: Mapping[str, Provider]) -> Target:
    """Give the target of a model name or of a preset's entry."""
    try:
        return Target(*split_target(model, providers))
    except LookupError:
        raise CallerError(
            404, "model_not_found", "No provider is configured. Operator: add one under providers:."
        ) from None


def _with_others(
    targets: tuple[Target, ...],
    others: Sequence[str],
    presets: Mapping[str, PresetRow],
    targets_of: TargetsByName,
) -> tuple[Target, ...]:
    """Put the client's own list of models behind the targets, each once, a static one last."""
    added = [
        target for other in others for target in (presets[other].targets if other in presets else (targets_of[other],))
    ]
    found: dict[tuple[str, str], Target] = {}
    for target in (*targets, *added):
        found.setdefault((target.provider, target.model), target)
    ordered = sorted(found.values(), key=lambda target: target.static is not None)
    return tuple(ordered)


def _asked(targets: tuple[Target, ...], name: str) -> tuple[Target, ...]:
    """Leave canned answers out, which have the shape of chat completions; raises CallerError where nothing is left."""
    asked = tuple(target for target in targets if target.static is None)
    if not asked:
        text = f'Preset "{name}" has canned answers only, and those are chat completions: POST /v1/chat/completions.'
        raise CallerError(400, "invalid_value", text, param="model")
    return asked


def _under(preset: PresetRow, body: dict[str, Any], endpoint: Endpoint) -> dict[str, Any]:
    """Put the preset's parameters under the client's, and its system prompt before what the client says."""
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


def with_room_to_think(body: dict[str, Any], sent: Mapping[str, Any], endpoint: Endpoint) -> dict[str, Any]:
    """Add a thinking budget to a default's bound that is not above it: the bound is meant for the answer."""
    bounds = [name for name in endpoint.maximum if type(body.get(name)) is int and sent.get(name) is None]
    if not bounds:
        return body
    budget = thinking_budget(body)
    return {**body, **{name: budget + body[name] for name in bounds if body[name] <= budget}}


def _filled(system: str, preset: PresetRow, given: Mapping[str, Any]) -> str:
    try:
        return fill(system, preset.variables, given)
    except VariableError as error:
        problem = (str(error), f"metadata.{error.name}", error.problem)
    text, param, problem_kind = problem  # outside the except block: the error would carry what was given along
    code = "missing_required_parameter" if problem_kind == "missing" else "invalid_value"
    raise CallerError(400, code, f'Preset "{preset.name}": {text}', param=param)
