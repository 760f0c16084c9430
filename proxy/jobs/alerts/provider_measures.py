"""How providers, their keys, models and prices do, for rules that watch them."""

from collections.abc import Iterator, Mapping, Sequence

import orjson

from proxy.pipeline.services import Services
from proxy.policy.alerts.measures import AlertReading, price_move
from proxy.policy.pricing import find_price

PRICES = "price"
"""The measure under which the prices that were told last are kept."""

_REFUSED = {
    "bad_key": "the provider says that it is wrong",
    "no_credits": "the provider says that it has no credit left",
    "key_limit": "the provider says that its own limit is reached",
}
Samples = Mapping[tuple[str, str], Sequence[tuple[int, str]]]


def provider_down(services: Services) -> list[AlertReading]:
    found = []
    for name, view in services.health.views().items():
        is_down = view.breaker.state != "closed"
        detail = f"{view.breaker.failures_in_row} failures in a row" if is_down else ""
        found.append(AlertReading(name, name, float(is_down), detail=detail))
    return found


def breaker_open(services: Services) -> list[AlertReading]:
    found = provider_down(services)
    for name, view in services.health.views().items():
        for model, breaker in view.models.items():
            subject = f"{name}/{model}"
            found.append(AlertReading(subject, subject, float(breaker.state != "closed")))
    return found


def key_bad(services: Services) -> list[AlertReading]:
    found = []
    for name, view in services.health.views().items():
        for key in view.keys:
            subject, why = f"{name}/{key.name}", _REFUSED.get(key.reason or "", "")
            found.append(AlertReading(subject, subject, float(bool(why)), detail=why))
    return found


def model_gone(services: Services) -> list[AlertReading]:
    found = []
    for provider, model in _configured_models(services):
        listing = services.model_lists.listing(provider)
        if listing.models and listing.problem is None:
            is_there = model in listing.models or find_price(listing.prices, model) is not None
            is_there = is_there or model.partition(":")[0] in listing.models
            subject = f"{provider}/{model}"
            found.append(AlertReading(subject, subject, float(not is_there)))
    return found


def price_moved(services: Services, samples: Samples) -> list[AlertReading]:
    """Return by how much prices differ from those in samples; one that has no sample yet has not moved."""
    found = []
    for subject, now in listed_prices(services).items():
        told = samples.get((PRICES, subject))
        before = orjson.loads(told[-1][1]) if told else now
        changed = [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
        detail = "; ".join(f"{name}: {before.get(name, 0)} -> {now.get(name, 0)}" for name in changed)
        found.append(AlertReading(subject, subject, price_move(before, now), detail=detail))
    return found


def listed_prices(services: Services) -> dict[str, dict[str, int]]:
    """Return the prices by the providers' lists of the models that the configuration names."""
    found = {}
    for provider, model in _configured_models(services):
        match = find_price(services.model_lists.listing(provider).prices, model)
        if match is not None and match.entry.price is not None:
            rates = match.entry.price.rates()
            found[f"{provider}/{model}"] = {name: rate for name, rate in rates.items() if rate is not None}
    return found


def _configured_models(services: Services) -> Iterator[tuple[str, str]]:
    """Yield provider and model of each target of a preset, once."""
    seen = set()
    for preset in services.live.current.presets.values():
        for target in preset.targets:
            place = target.provider, target.model
            if target.static is None and place not in seen:
                seen.add(place)
                yield place
