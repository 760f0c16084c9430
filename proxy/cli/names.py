"""The names of models in a configuration, compared with what the providers list."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from proxy.config.provider import split_target
from proxy.config.schema import Settings
from proxy.pipeline.routing.targets import AUTO_NAME
from proxy.policy.nearest import nearest
from proxy.providers.model_lists import ModelListing, ModelLists
from proxy.providers.provider import ProviderRow

_GLOB = frozenset("*?[")


class UnknownName(NamedTuple):
    """A name that matches no model. is_all: no request for its preset can be served."""

    text: str
    fix: str
    is_all: bool


def unknown_names(
    settings: Settings, rows: Mapping[str, ProviderRow], model_lists: ModelLists
) -> Iterator[UnknownName]:
    """Return the targets of presets that no list has or that have no price, and other models that do not exist.

    These are the allowed ones, default models, and those of auto.

    A provider whose list is unknown, and a model with a price of the operator's own, yield nothing.
    """
    for name, preset in settings.presets.items():
        targets = [target.target for target in preset.targets if target.target is not None]
        problems = {target: _problem(target, settings, rows, model_lists) for target in targets}
        is_all = bool(targets) and all(problems.values()) and len(targets) == len(preset.targets)
        for target, problem in problems.items():
            if problem is not None:
                fix = f"Correct it in presets.{name}: " + (
                    "requests for the preset fail" if is_all else "the preset goes on with its other targets"
                )
                yield UnknownName(f'presets.{name}: "{target}" {problem}', fix, is_all)
    yield from _allowed(settings, rows, model_lists)


def _problem(target: str, settings: Settings, rows: Mapping[str, ProviderRow], model_lists: ModelLists) -> str | None:
    provider, model = split_target(target, settings.providers)
    row, listing = rows[provider], model_lists.listing(provider)
    if any(model_lists.price(row, model) == price for _, price in row.own_prices) or not listing.models:
        return None
    if _lists(listing, model):
        has_price = model_lists.price(row, model) is not None or not row.dialect.reports_cost
        return None if has_price else f"has no price at {provider}: users with a hard limit on cost cannot use it."
    hint = _hint(target, settings, model_lists)
    return f"is not listed by {provider}.{hint}"


def _allowed(settings: Settings, rows: Mapping[str, ProviderRow], model_lists: ModelLists) -> Iterator[UnknownName]:
    holders = {"defaults": settings.defaults, "end_users": settings.end_users}
    holders |= {f"groups.{name}": group for name, group in settings.groups.items()}
    holders |= {f"users.{name}": user for name, user in settings.users.items()}
    for where, holder in holders.items():
        for model in holder.models or ():
            if _GLOB.isdisjoint(model) and model not in settings.presets and model != AUTO_NAME:
                problem = _problem(model, settings, rows, model_lists)
                if problem is not None:
                    yield UnknownName(
                        f'{where}.models: "{model}" {problem}', f"Correct it in {where}.models", is_all=False
                    )
        yield from _named(f"{where}.default_model", holder.default_model, settings, rows, model_lists)
    for model in settings.auto.models:
        yield from _named("auto.models", model, settings, rows, model_lists)


def _named(
    where: str, model: str | None, settings: Settings, rows: Mapping[str, ProviderRow], model_lists: ModelLists
) -> Iterator[UnknownName]:
    """Yield what is wrong with a single name; patterns, presets and auto are no names of models."""
    is_name = model is not None and model != AUTO_NAME and _GLOB.isdisjoint(model) and model not in settings.presets
    problem = _problem(model, settings, rows, model_lists) if model is not None and is_name else None
    if problem is not None:
        yield UnknownName(f'{where}: "{model}" {problem}', f"Correct it in {where}", is_all=False)


def _lists(listing: ModelListing, model: str) -> bool:
    return model in listing.models or model.partition("@")[0].partition(":")[0] in listing.models


def _hint(target: str, settings: Settings, model_lists: ModelLists) -> str:
    """Return the name that was probably meant: of a provider whose name is mistyped, or of a model."""
    default = next(iter(settings.providers))
    names = [
        model if provider == default else f"{provider}/{model}"
        for provider in settings.providers
        for model in model_lists.listing(provider).models
    ]
    first, _, rest = target.partition("/")
    prefix = nearest(first, settings.providers) if rest else None
    if prefix is not None and prefix != first and rest in model_lists.listing(prefix).models:
        return f' Did you mean "{prefix}/{rest}"?'
    hint = nearest(target, names)
    return "" if hint is None else f' Did you mean "{hint}"?'
