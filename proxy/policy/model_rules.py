"""What the operator says of the models of one provider: whether they may be asked, and what they cost. Pure.

A rule stands under a name: provider/model, or model alone for the first provider; * stands for any text. A model is
disabled where any rule that fits says so. Of a price the nearest rule counts: one with the model's very name, else the
first that fits.
"""

from collections.abc import Sequence

from msgspec import Struct

from proxy.core.glob import fits
from proxy.policy.pricing.price import Price


class ModelRule(Struct, frozen=True):
    """What is said under one name. None: nothing; request_pusd: on top of what the provider charges."""

    name: str
    is_enabled: bool = True
    price: Price | None = None
    request_pusd: int | None = None


class ModelRules:
    """The rules that may fit a provider's models. off: the setting that disables all of them, or None."""

    def __init__(self, provider: str, rules: Sequence[ModelRule], *, is_first: bool, off: str | None = None) -> None:
        exact = [rule for rule in rules if not _is_pattern(rule.name)]
        patterns = [rule for rule in rules if _is_pattern(rule.name)]
        self._rules = (*exact, *patterns)
        self._provider = provider
        self._is_first = is_first
        self.off = off

    def disabled_by(self, model: str) -> str | None:
        """Return the setting that disables a model; None: it may be asked."""
        if self.off is not None:
            return self.off
        names = (rule.name for rule in self._rules if not rule.is_enabled and self._fits(rule.name, model))
        name = next(names, None)
        return None if name is None else f"models.{name}.enabled"

    def price(self, model: str) -> Price | None:
        """Return the operator's price of a model; None: the provider's own counts."""
        prices = (rule.price for rule in self._rules if rule.price is not None and self._fits(rule.name, model))
        return next(prices, None)

    def request_pusd(self, model: str) -> int:
        """Return what each request that a model answers costs on top, in pico-USD."""
        fees = (
            rule.request_pusd for rule in self._rules if rule.request_pusd is not None and self._fits(rule.name, model)
        )
        return next(fees, 0)

    def _fits(self, name: str, model: str) -> bool:
        if self._is_first and _matches(model, name):
            return True
        return _matches(f"{self._provider}/{model}", name)


def _is_pattern(name: str) -> bool:
    return not {"*", "?", "["}.isdisjoint(name)


def _matches(model: str, name: str) -> bool:
    return model == name or fits(model, name)
