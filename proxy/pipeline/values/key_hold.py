"""What an attempt under way has set aside of the limits of its key."""

from typing import NamedTuple

from proxy.policy.account import Account


class KeyHold(NamedTuple):
    """What an attempt under way has set aside; give it back by KeyUse.end()."""

    account: Account
    started_ms: int
    cost_pusd: int
