"""Targets of presets without a price, for which a hard cost limit cannot reserve anything."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from proxy.core.glob import fits

if TYPE_CHECKING:
    from proxy.config.schema import Settings
    from proxy.config.user import Limits


def has_hard_cost(settings: "Settings") -> bool:
    """Return whether anybody has a hard cost limit."""
    owners: list[Limits] = [settings.limits, settings.defaults.limits]
    owners += [one.limits for one in settings.groups.values()]
    owners += [one.limits for one in settings.users.values()]
    owners += [one.limits for one in settings.presets.values()]
    return any(limit.mode == "hard" for limits in owners for limit in limits.of("cost"))


def unpriced_targets(settings: "Settings") -> Iterable[tuple[str, list[str], bool]]:
    """Return each preset with its targets without a price, and whether another target remains.

    Those at OpenRouter are left out: its list has their prices.
    """
    from proxy.config.provider import split_target  # noqa: PLC0415 - keeps --help quick
    from proxy.providers.build import model_rules  # noqa: PLC0415 - as above
    from proxy.providers.kinds import dialect_of  # noqa: PLC0415 - as above

    rules = model_rules(settings)

    for name, preset in settings.presets.items():
        asked = [one.target for one in preset.targets if one.target is not None]
        lacking = []
        for target in asked:
            provider, model = split_target(target, settings.providers)
            row = settings.providers[provider]
            if provider in rules and rules[provider].price(model) is not None:
                continue
            if not dialect_of(row).lists_prices and not any(fits(model, glob) for glob in row.prices):
                lacking.append(f"{provider}/{model}")
        if lacking:
            yield name, lacking, len(lacking) < len(asked)
