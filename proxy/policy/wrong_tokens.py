"""Wrong tries of a secret, by address: after a few, each costs time. Pure; times are monotonic seconds."""

from collections import OrderedDict

FREE = 3  # wrong tries without a wait: typing mistakes
WAIT_MAX_S = 60.0
FORGET_S = 900.0  # after this long without a wrong one an address starts again
ADDRESSES_MAX = 1024


class WrongTokens:
    """The last addresses that sent a wrong one. While one waits, no token from it is checked, right or wrong."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, tuple[int, float, float]] = OrderedDict()  # count, waits until, when the last came

    def __len__(self) -> int:
        return len(self._of)

    def wait_s(self, address: str, now_s: float) -> float:
        """Return how long nothing from this address is looked at; 0: it may try."""
        _, until_s, _ = self._of.get(address, (0, 0.0, 0.0))
        return max(0.0, until_s - now_s)

    def wrong(self, address: str, now_s: float) -> None:
        """Record a wrong token: from the fourth on the next must wait, twice as long each time."""
        count, _, last_s = self._of.pop(address, (0, 0.0, now_s))
        count = 1 if now_s - last_s > FORGET_S else count + 1
        wait_s = 0.0 if count <= FREE else min(2.0 ** min(count - FREE - 1, 10), WAIT_MAX_S)
        self._of[address] = count, now_s + wait_s, now_s
        if len(self._of) > ADDRESSES_MAX:
            self._of.popitem(last=False)

    def right(self, address: str) -> None:
        """Remove an address that knows the secret."""
        self._of.pop(address, None)
