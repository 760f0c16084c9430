"""What an attempt under way has set aside of the limits of its key."""

from typing import NamedTuple

from proxy.policy.quota.scope_totals import ScopeTotals


class KeyHold(NamedTuple):
    """What an attempt under way has set aside; give it back by KeyUse.end()."""

    totals: ScopeTotals
    started_ms: int
    cost_pusd: int
