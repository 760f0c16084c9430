"""The classes of a difference between the provider's bill and the ledger, a row for each; tables and docs follow it."""

from typing import Final, Literal

from msgspec import Struct

Remedy = Literal["request", "apart", "none"]


class DriftClass(Struct, frozen=True):
    """One class. meaning: what such a difference is, as a sentence.

    is_lasting: it stays, for ledger and bill are both right, or it is no concern of this proxy; all other classes are
    open until they are booked. remedy: what books it: a correction of a request, an amount of its own, or nothing.
    """

    name: str
    meaning: str
    is_lasting: bool
    remedy: Remedy


PENDING: Final = "pending"
ESTIMATED: Final = "estimated"
RESERVATION_CHARGED: Final = "reservation_charged"
OUTSIDE_CALL: Final = "outside_call"
OTHER_KEY: Final = "other_key"
OWN_KEY: Final = "own_key"
OTHER_DAY: Final = "other_day"
BEFORE_PROXY: Final = "before_proxy"
PRICE_ROUNDING: Final = "price_rounding"
REFUNDED: Final = "refunded"
RAISED: Final = "raised"
LOST_ROW: Final = "lost_row"
UNKNOWN: Final = "unknown"

DRIFT_CLASSES: Final = (
    DriftClass(
        PENDING, "The proxy still waited for the cost, or the bill did not show the call yet.", False, "request"
    ),
    DriftClass(ESTIMATED, "The proxy had worked the cost out itself: the provider had not told it.", False, "request"),
    DriftClass(
        RESERVATION_CHARGED, "The whole reservation was charged, because no cost could be learnt.", False, "request"
    ),
    DriftClass(OUTSIDE_CALL, "One of the proxy's keys was used by something other than the proxy.", False, "apart"),
    DriftClass(OTHER_KEY, "Another key of the same account was used, which the proxy does not have.", True, "none"),
    DriftClass(
        OWN_KEY, "The call went with a key of its own, and somebody else bills it or a part of it.", True, "none"
    ),
    DriftClass(
        OTHER_DAY, "The call began before midnight UTC and was billed after: it moves between two days.", True, "none"
    ),
    DriftClass(BEFORE_PROXY, "The key was used for it before it came here, or before the first request.", True, "none"),
    DriftClass(PRICE_ROUNDING, "The figures differ by less than a billionth of a dollar a call.", False, "request"),
    DriftClass(REFUNDED, "The provider lowered a cost after it had told it.", False, "request"),
    DriftClass(RAISED, "The provider raised a cost after it had told it.", False, "request"),
    DriftClass(LOST_ROW, "The proxy made the call, but its ledger has no row of it.", False, "apart"),
    DriftClass(UNKNOWN, "Nothing that is known explains it.", False, "none"),
)
BY_NAME: Final = {each.name: each for each in DRIFT_CLASSES}
