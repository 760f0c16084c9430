"""Costs that became known after a request had ended: what is asked for, and what was booked of it.

A row that has ended is never edited. What it turns out to have cost is booked as the difference to what is booked for
it now, so that the same truth told twice changes nothing the second time.
"""

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from proxy.storage.rows import INTEGER_MAX
from proxy.storage.spending_source import SpendingSource

TEXT_MAX = 200  # characters of a reason, a source or a reference

How = Literal["adjusted", "settled", "unchanged", "open", "pending", "missing", "refused"]
"""What became of a correction.

adjusted: the difference is booked. settled: the request waited for its cost, and has it now. unchanged: there is no
difference. open, pending: the request has not ended, and nothing was booked. missing: no row and no adjustment knows
the request, and the caller did not say where it belongs. refused: its hour of the roll-up holds less than was to be
taken from it, or it holds a price of the operator's own, which the provider's bill does not know.
"""


class AdjustedKey(Struct, frozen=True):
    """The provider key that was charged, by the name of its row in the configuration and its own."""

    provider: str
    key: str


class RemovedRequest(Struct, frozen=True):
    """What the caller knows of a request whose row retention has removed.

    at_ms is when it began, or the start of its hour where only that is known; day its date in the configured zone. It
    counts for nothing once an adjustment of the request is kept, which knows all of it better.
    """

    at_ms: int
    day: str
    spending: SpendingSource
    booked_pusd: int
    charged: AdjustedKey | None = None


class Correction(Struct, frozen=True):
    """What a request cost after all, over all of its attempts, in pico-USD.

    reason and source are words for people: why it differs, and who says so. attempt: the number of the attempt whose
    figure it was; None: the least certain one. removed: where the request belongs if its row is gone. is_bill: the
    figure is the provider's alone, without what the operator asks for each request on top of it: a row that has ended
    and holds that price (flag request_price) stays as it is.
    """

    request_id: int
    actual_pusd: int
    reason: str
    source: str
    removed: RemovedRequest | None = None
    attempt: int | None = None
    is_bill: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError for what could never be booked."""
        if not 0 <= self.actual_pusd <= INTEGER_MAX:
            raise ValueError(f"a cost is 0 to {INTEGER_MAX} pico-USD, not {self.actual_pusd}")


class UnattachedCost(Struct, frozen=True):
    """What a provider charged and no request accounts for: a row that was lost.

    It is booked under no user, at_ms and day as in RemovedRequest. reference makes it unique: the same one with another
    amount books the difference, with the time, model and key that were booked first.
    """

    at_ms: int
    day: str
    provider: str
    model: str
    key: str
    actual_pusd: int
    reason: str
    source: str
    reference: str

    def __post_init__(self) -> None:
        """Raise ValueError for what could never be booked, or could be booked twice."""
        if not 0 <= self.actual_pusd <= INTEGER_MAX:
            raise ValueError(f"a cost is 0 to {INTEGER_MAX} pico-USD, not {self.actual_pusd}")
        if not 0 < len(self.reference) <= TEXT_MAX:
            raise ValueError(f"a reference has 1 to {TEXT_MAX} characters")


class Booked(Struct, frozen=True):
    """What became of one correction.

    booked_pusd is what was booked before it, amount_pusd what was added (below 0: taken away). adjustment_id, spending
    and at_ms (the instant whose windows it counts in) are those of the row; None where no row was written. is_on_hour:
    the request's own row is gone, so that only its hour was moved. charged: the key whose limits count it.
    """

    request_id: int | None
    how: How
    booked_pusd: int
    amount_pusd: int
    reason: str
    source: str
    reference: str | None = None
    adjustment_id: int | None = None
    at_ms: int = 0
    spending: SpendingSource | None = None
    charged: AdjustedKey | None = None
    is_on_hour: bool = False
    is_new: bool = False  # the first that is booked under its reference

    @property
    def actual_pusd(self) -> int:
        """Return what is booked now."""
        return self.booked_pusd + self.amount_pusd


Tell = Callable[[tuple[Booked, ...]], None]
"""Hears what was booked right after the commit, before anybody who waits for it, and also when nobody does any more."""


class AdjustmentFilter(Struct, frozen=True):
    """Which adjustments are wanted; None: whatever it is. They were booked from since_ms on and before until_ms."""

    request_id: int | None = None
    user: str | None = None
    provider: str | None = None
    key: str | None = None
    model: str | None = None
    source: str | None = None
    day: str | None = None
    is_unattached: bool | None = None
    since_ms: int | None = None
    until_ms: int | None = None


class AdjustmentRow(Struct, frozen=True):
    """One row of adjustments. at_ms: when the request began; ts_ms: when its cost became known.

    request_id None: it belongs to no request. attempt, charged_provider and charged_key: whose figure it was.
    """

    id: int
    request_id: int | None
    attempt: int | None
    at_ms: int
    ts_ms: int
    day: str
    booked_pusd: int
    amount_pusd: int
    reason: str
    source: str
    reference: str | None
    user: str
    group: str
    model: str
    provider: str
    use_case: str
    charged_provider: str | None
    charged_key: str | None
