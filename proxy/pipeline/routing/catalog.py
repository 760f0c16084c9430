"""All models that may be asked, with what lists and the operator say of them; made anew when either changes."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from proxy.core.glob import fits
from proxy.pipeline.routing.targets import ModelDisabledError
from proxy.pipeline.snapshot import Snapshot
from proxy.pipeline.values.route import Target
from proxy.policy.model_choice import quality_of
from proxy.policy.pricing import Price
from proxy.providers.model_facts import ModelFacts
from proxy.providers.model_lists import ModelLists


class CatalogModel(NamedTuple):
    """A model at a provider, with the name that callers write. quality: 0 to 1, by auto.quality; None: not in it."""

    name: str
    target: Target
    price: Price | None
    facts: ModelFacts
    quality: float | None


class ModelCatalog:
    """The models of all lists, and those of auto."""

    def __init__(self) -> None:
        self._made_of: tuple[object, ...] = ()
        self._models: tuple[CatalogModel, ...] = ()
        self._of_auto: tuple[CatalogModel, ...] = ()

    def models(self, lists: ModelLists, snapshot: Snapshot) -> tuple[CatalogModel, ...]:
        """Return every listed model that is not disabled, provider by provider, in the order of their lists."""
        self._renew(lists, snapshot)
        return self._models

    def of_auto(self, lists: ModelLists, snapshot: Snapshot) -> tuple[CatalogModel, ...]:
        """Return the models that auto may pick, in the order of auto.models; one that no list has stands there too."""
        self._renew(lists, snapshot)
        return self._of_auto

    def _renew(self, lists: ModelLists, snapshot: Snapshot) -> None:
        # a refresh makes a new mapping, and a new configuration a new snapshot
        made_of = (snapshot, *(lists.listing(name).models for name in snapshot.providers))
        if len(made_of) == len(self._made_of) and all(a is b for a, b in zip(made_of, self._made_of, strict=True)):
            return
        self._models = tuple(_listed(lists, snapshot))
        self._of_auto = _matching(snapshot.settings.auto.models, self._models, lists, snapshot)
        self._made_of = made_of


def _listed(lists: ModelLists, snapshot: Snapshot) -> list[CatalogModel]:
    found: list[CatalogModel] = []
    for n, (name, provider) in enumerate(snapshot.providers.items()):
        rules = provider.rules
        found += [
            _model(model if n == 0 else f"{name}/{model}", Target(name, model), lists, snapshot)
            for model in lists.listing(name).models
            if rules is None or rules.disabled_by(model) is None
        ]
    return found


def _model(name: str, target: Target, lists: ModelLists, snapshot: Snapshot) -> CatalogModel:
    provider = snapshot.providers[target.provider]
    price, facts = lists.price(provider, target.model), lists.facts(provider, target.model)
    return CatalogModel(name, target, price, facts, quality_of(names_of(name, target), snapshot.settings.auto.scores))


def names_of(name: str, target: Target) -> tuple[str, ...]:
    """Return all names that a model may be called by in a pattern."""
    full = f"{target.provider}/{target.model}"
    return (name,) if name == full else (name, full)


def _matching(
    patterns: Sequence[str], models: Sequence[CatalogModel], lists: ModelLists, snapshot: Snapshot
) -> tuple[CatalogModel, ...]:
    found: dict[tuple[str, str], CatalogModel] = {}
    by_target: Mapping[tuple[str, str], CatalogModel] = {(one.target.provider, one.target.model): one for one in models}
    for pattern in patterns:
        fitting = [one for one in models if any(fits(name, pattern) for name in names_of(*one[:2]))]
        if not fitting and {"*", "?", "["}.isdisjoint(pattern):
            try:  # a name that no list has: a new one, or of a bare server
                target = snapshot.routes.targets[pattern]
            except ModelDisabledError:
                continue
            fitting = [by_target.get((target.provider, target.model)) or _model(pattern, target, lists, snapshot)]
        for one in fitting:
            found.setdefault((one.target.provider, one.target.model), one)
    return tuple(found.values())
