"""What was counted since the start, for /metrics: plain integers, for a request must not pay for being counted."""

from collections import defaultdict
from collections.abc import MutableMapping


class Counters:
    """attempts by (provider, outcome); requests by status; refusals, which leave no row, by (status, code).

    outcome is a word of the ledger's attempts; the words are ours, so that the numbers of labels are bounded.
    """

    __slots__ = (
        "attempts",
        "doubts",
        "over_pusd",
        "over_requests",
        "refusals",
        "requests",
        "retries",
        "set_asides",
        "tokens",
    )

    def __init__(self) -> None:
        self.over_requests = 0  # that cost more than was reserved
        self.over_pusd = 0  # and by how much, in all
        self.doubts: MutableMapping[str, int] = defaultdict(int)  # rows by flag
        self.tokens: MutableMapping[str, int] = defaultdict(int)  # by class: a word of CLASSES
        self.requests: MutableMapping[int, int] = defaultdict(int)
        self.refusals: MutableMapping[tuple[int, str], int] = defaultdict(int)
        self.attempts: MutableMapping[tuple[str, str], int] = defaultdict(int)
        self.set_asides: MutableMapping[tuple[str, str, str], int] = defaultdict(int)  # provider, key, case
        self.retries: MutableMapping[str, int] = defaultdict(int)  # provider
