"""What comparisons with the bill have found lately. Blocks: call it in a thread."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec import Struct, field

from proxy.pipeline.services import Services

DAYS: Final = 30  # as long as the provider remembers


class DriftFigures(Struct, frozen=True):
    """amounts_pusd: by provider and class of drift. compared_ms: by provider, when a day of these was compared last.

    days: how many of them, by provider and how fine they were compared.
    """

    amounts_pusd: Mapping[tuple[str, str], int] = field(default_factory=dict)
    compared_ms: Mapping[str, int] = field(default_factory=dict)
    days: Mapping[tuple[str, str], int] = field(default_factory=dict)


def read_drift(services: Services) -> DriftFigures:
    """Return the sums of the last 30 days of UTC; raises LedgerError."""
    today = datetime.fromtimestamp(services.clock.now_ms() / 1000, UTC).date()
    first = today - timedelta(days=DAYS)
    amounts: Counter[tuple[str, str]] = Counter()
    compared_ms: dict[str, int] = {}
    days: Counter[tuple[str, str]] = Counter()
    for day in services.reports.compared_days(first.isoformat(), today.isoformat()):
        compared_ms[day.provider] = max(compared_ms.get(day.provider, 0), day.compared_ms)
        days[day.provider, day.level] += 1
        for each in day.classes:
            amounts[day.provider, each.drift_class] += each.amount_pusd
    return DriftFigures(amounts, compared_ms, days)
