"""All bugs to put in on purpose but those of docs/trust/faults.md, which are in faults.py.

Each stands for a failure that was seen in a proxy that people use, or for a mistake that is easy to make here. Its
tests must pass without it.
"""

from typing import Final

from tests.mutations import (
    account,
    adjustments,
    admin,
    alerts,
    charts,
    doors,
    exports,
    failover,
    idempotency,
    identity,
    ledger,
    metrics,
    prices,
    providers,
    quotas,
    reconciliation,
    records,
    reports,
    settlement,
    stops,
    web,
    wire,
)

MUTATIONS: Final = (
    *alerts.MUTATIONS,
    *charts.MUTATIONS,
    *doors.MUTATIONS,
    *quotas.MUTATIONS,
    *prices.MUTATIONS,
    *settlement.MUTATIONS,
    *adjustments.MUTATIONS,
    *reconciliation.MUTATIONS,
    *ledger.MUTATIONS,
    *metrics.MUTATIONS,
    *identity.MUTATIONS,
    *idempotency.MUTATIONS,
    *failover.MUTATIONS,
    *wire.MUTATIONS,
    *providers.MUTATIONS,
    *web.MUTATIONS,
    *admin.MUTATIONS,
    *records.MUTATIONS,
    *reports.MUTATIONS,
    *exports.MUTATIONS,
    *stops.MUTATIONS,
    *account.MUTATIONS,
)
