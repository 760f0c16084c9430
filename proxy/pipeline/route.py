"""route: model name -> the ordered targets of the request. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from proxy.config.schema import Provider, split_target
from proxy.core.errors import CallerError
from proxy.pipeline.authenticate import Identity


class Target(NamedTuple):
    """One model at one provider (the name of a row of the configuration)."""

    provider: str
    model: str


@dataclass(frozen=True, slots=True)
class PresetRow:
    """A named virtual model. defaults are parameters under the client's own."""

    name: str
    targets: tuple[Target, ...]
    defaults: Mapping[str, Any]
    system: str | None
    use_case: str | None


class Route(NamedTuple):
    """Where a request may go, in order, and the body that goes there; model and usage are filled in a target."""

    targets: tuple[Target, ...]
    body: dict[str, Any]
    requested_model: str
    use_case: str | None


def plan_route(
    body: dict[str, Any], identity: Identity, presets: Mapping[str, PresetRow], providers: Mapping[str, Provider]
) -> Route:
    """Choose the targets; providers are the configured ones, the default one first. Raises CallerError 403 or 404."""
    model: str = body["model"]
    for asked in (model, *(body.get("models") or ())):
        if not identity.allowance.allows(asked):
            raise _not_allowed(asked, identity)
    preset = presets.get(model)
    if preset is None:
        return Route((resolve(model, providers),), body, model, None)
    return Route(preset.targets, _under(preset, body), model, preset.use_case)


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


def _under(preset: PresetRow, body: dict[str, Any]) -> dict[str, Any]:
    """Put the preset's parameters under the client's, and its system prompt before the client's messages."""
    merged = {**preset.defaults, **body}
    if preset.system is not None:
        merged["messages"] = [{"role": "system", "content": preset.system}, *body["messages"]]
    return merged
