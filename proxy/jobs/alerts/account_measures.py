"""What is left at providers, for rules that watch it. Asks only while a rule does, and waits for no answer."""

import asyncio
from collections.abc import Iterator

from proxy.core.money import PUSD_PER_USD, pusd_to_usd
from proxy.pipeline.services import Services
from proxy.policy.alerts.measures import AlertReading
from proxy.policy.reconciliation.drift_class import UNKNOWN
from proxy.policy.reconciliation.sync_schedule import day_of, past_days
from proxy.providers.account.source import AccountError, BudgetLayer
from proxy.providers.provider import ProviderRow

_CENT_PUSD = PUSD_PER_USD // 100
_COUNTED = ", by what keys have counted"
_NO_SOURCE = (
    "no provider tells what is left: set the management key of one that does, such as"
    " providers.openrouter.management_key"
)


async def credits_low(services: Services) -> list[AlertReading]:
    """Return what is left of each account that tells; raises AccountError where none can, or none has answered."""
    found, problem = [], AccountError("refused", _NO_SOURCE)
    for provider in _in_use(services):
        heard = await services.accounts.credits(provider, 0.0)
        if heard is None:
            continue
        if heard.value is None:
            problem = heard.problem or AccountError("unavailable", f"{provider.name} has not answered yet")
            continue
        left_pusd, bought_pusd = heard.value.left_pusd, heard.value.bought_pusd
        detail = f"${pusd_to_usd(left_pusd)} of ${pusd_to_usd(bought_pusd)} is left"
        found.append(AlertReading(provider.name, provider.name, left_pusd // _CENT_PUSD / 100, detail=detail))
    if not found:
        raise problem
    return found


async def drift(services: Services) -> list[AlertReading]:
    """Return how far each ledger is from its bill for no known reason; raises AccountError before any comparison."""
    today = day_of(services.clock.now_ms())
    first, last = past_days(today)[0].isoformat(), today.isoformat()
    days = await asyncio.to_thread(services.reports.compared_days, first, last)
    apart: dict[str, list[int]] = {}
    counted: set[str] = set()
    for day in days:
        if day.level == "keys":
            counted.add(day.provider)
        own = apart.setdefault(day.provider, [])
        own += [abs(each.amount_pusd) for each in day.classes if each.drift_class == UNKNOWN and each.amount_pusd]
    if not apart:
        raise AccountError("unavailable", "no day was compared with a provider's bill yet: that takes a management key")
    return [
        AlertReading(
            provider,
            provider,
            sum(pusd) // _CENT_PUSD / 100,
            detail=f"${pusd_to_usd(sum(pusd))} on {len(pusd)} days" + (_COUNTED if provider in counted else ""),
        )
        for provider, pusd in apart.items()
    ]


async def provider_budget(services: Services) -> list[AlertReading]:
    """Return what is used of each budget of each key, in percent, by the provider's own word."""
    found = []
    for provider in _in_use(services):
        for key in provider.keys:
            heard = await services.accounts.key(provider, key, 0.0)
            if heard is None or heard.value is None:
                continue
            scope = f"{provider.name}/{key.name}"
            found += [_budget(scope, layer) for layer in heard.value.layers()]
    return found


def _budget(scope: str, layer: BudgetLayer) -> AlertReading:
    subject = f"{scope} {layer.scope} {layer.resets or 'in all'}"
    used = 100.0 if layer.left_pusd <= 0 else layer.spent_pusd * 10_000 // max(layer.limit_pusd, 1) / 100
    detail = f"${pusd_to_usd(layer.spent_pusd)} of ${pusd_to_usd(layer.limit_pusd)} is used"
    return AlertReading(subject, scope, used, detail=detail)


def _in_use(services: Services) -> Iterator[ProviderRow]:
    """Yield the providers that are enabled, and forget what was heard of others."""
    rows = services.live.current.providers.values()
    services.accounts.keep_only(rows)
    return (row for row in rows if row.rules is None or row.rules.off is None)
