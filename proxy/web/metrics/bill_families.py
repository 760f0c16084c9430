"""The provider's side: what is left of its credits, and what its bill has more than the ledger."""

from collections.abc import Iterator

from proxy.core.money import PUSD_PER_USD
from proxy.policy.reconciliation.drift_class import DRIFT_CLASSES
from proxy.web.metrics.credits import CreditFigures
from proxy.web.metrics.drift import DriftFigures
from proxy.web.metrics.family import Family, gauge

_MS = 1000.0


def bill_families(credit_figures: CreditFigures, drift: DriftFigures, now_ms: int) -> Iterator[Family]:
    """Yield the families."""
    provider, left = ("provider",), credit_figures.left
    yield gauge(
        "tollkeeper_credits_remaining_usd",
        "What is left of a provider's credits by its own word, in USD.",
        provider,
        {(name,): left_pusd / PUSD_PER_USD for name, (left_pusd, _) in left.items()},
    )
    yield gauge(
        "tollkeeper_credits_age_seconds",
        "How long ago the provider told it.",
        provider,
        {(name,): max(0, now_ms - heard_ms) / _MS for name, (_, heard_ms) in left.items()},
    )
    yield gauge(
        "tollkeeper_drift_usd",
        "What the bill has more than the ledger, in USD, over the days that were compared lately.",
        ("provider", "class"),
        {
            (name, each.name): drift.amounts_pusd.get((name, each.name), 0) / PUSD_PER_USD
            for name in drift.compared_ms
            for each in DRIFT_CLASSES
        },
    )
    yield gauge(
        "tollkeeper_reconciliations",
        "How many days of the last 30 were compared by calls, by models, or by what keys had counted.",
        ("provider", "level"),
        drift.days,
    )
    yield gauge(
        "tollkeeper_reconciliation_age_seconds",
        "How long ago a day was compared with the bill.",
        provider,
        {(name,): max(0, now_ms - at_ms) / _MS for name, at_ms in drift.compared_ms.items()},
    )
