"""Why a key's count and the ledger differ, as far as the ledger itself tells: reasons, and one comparison in words."""

from typing import Final

from msgspec import Struct

from proxy.core.money import pusd_to_usd
from proxy.policy.reconciliation.drift_class import (
    ESTIMATED,
    OTHER_DAY,
    PENDING,
    PRICE_ROUNDING,
    RESERVATION_CHARGED,
    UNKNOWN,
)

NOT_COUNTED_YET: Final = "not_counted_yet"
RUNNING: Final = "running"
COST_UNKNOWN: Final = "cost_unknown"
BEFORE_PROXY: Final = "before_proxy"


class KeyReason(Struct, frozen=True):
    """One reason. drift_class: what it is among the classes of a day; None: it is in none, for it is history.

    text: what such a part is, as the end of a sentence that begins with its amount.
    """

    name: str
    drift_class: str | None
    text: str


KEY_REASONS: Final = (
    KeyReason(
        RESERVATION_CHARGED,
        RESERVATION_CHARGED,
        "may be too much: whole reservations were charged, because no cost could be learnt",
    ),
    KeyReason(
        NOT_COUNTED_YET, PENDING, "the provider may not have counted yet: it was booked shortly before it was asked"
    ),
    KeyReason(PENDING, PENDING, "may be of requests whose cost the proxy still waits for"),
    KeyReason(RUNNING, PENDING, "may be of requests that were still running"),
    KeyReason(OTHER_DAY, OTHER_DAY, "may be of requests about midnight UTC, which the provider counts on another day"),
    KeyReason(ESTIMATED, ESTIMATED, "may be of costs that the proxy had worked out itself"),
    KeyReason(COST_UNKNOWN, ESTIMATED, "may be of requests whose cost nobody knows, and for which no most is known"),
    KeyReason(BEFORE_PROXY, None, "the key may have been used for before it came here, within this time"),
    KeyReason(PRICE_ROUNDING, PRICE_ROUNDING, "is less than a billionth of a dollar a call"),
    KeyReason(
        UNKNOWN, UNKNOWN, "nothing explains; more on the provider's side is mostly calls with the key outside the proxy"
    ),
)
BY_NAME: Final = {each.name: each for each in KEY_REASONS}


class KeyPart(Struct, frozen=True):
    """A part of a difference. reason: the name of one of KEY_REASONS; amount_pusd: what the provider has more."""

    reason: str
    amount_pusd: int


class KeyDoubt(Struct, frozen=True):
    """What of a key's time is not certain, in pico-USD, none of it negative. calls: how many of its attempts cost.

    reservation_pusd, estimated_pusd: booked so; pending_pusd, running_pusd: reserved for what is awaited, or under way;
    recent_pusd: booked for what ended so late that it may not be counted yet, or on the day after; earlier_pusd: of the
    time before, and perhaps counted in this one. unbounded: how many attempts may have cost anything.
    """

    calls: int = 0
    reservation_pusd: int = 0
    estimated_pusd: int = 0
    pending_pusd: int = 0
    running_pusd: int = 0
    recent_pusd: int = 0
    earlier_pusd: int = 0
    unbounded: int = 0


class CountedTime(Struct, frozen=True):
    """The time of a count. is_over: it has ended, and everything of it is counted somewhere.

    is_first: the key came here within it, so that it may have been used before. is_young: it has just begun, so that
    the provider may still tell of the day before.
    """

    is_over: bool = False
    is_first: bool = False
    is_young: bool = False


def explain(left_pusd: int, doubt: KeyDoubt, rounding_pusd: int, time: CountedTime) -> list[KeyPart]:
    """Return the parts of a difference, which add up to it: each at most what the ledger allows for it.

    rounding_pusd: what a single call may be rounded by.
    """
    more_pusd = max(left_pusd, 0)
    parts = []
    for reason, least_pusd, most_pusd in (
        (RESERVATION_CHARGED, -doubt.reservation_pusd, 0),
        (OTHER_DAY if time.is_over else NOT_COUNTED_YET, -doubt.recent_pusd, 0),
        (PENDING, 0, doubt.pending_pusd),
        (RUNNING, 0, doubt.running_pusd),
        (OTHER_DAY, 0, more_pusd if time.is_young else doubt.earlier_pusd),
        (ESTIMATED, -doubt.estimated_pusd, doubt.estimated_pusd),
        (COST_UNKNOWN, 0, more_pusd if doubt.unbounded else 0),
        (BEFORE_PROXY, 0, more_pusd if time.is_first else 0),
    ):
        part_pusd = max(least_pusd, min(left_pusd, most_pusd))
        left_pusd -= part_pusd
        parts.append(KeyPart(reason, part_pusd))
    is_rounded = abs(left_pusd) <= doubt.calls * rounding_pusd  # of more than that nobody rounds a part
    parts.append(KeyPart(PRICE_ROUNDING if is_rounded else UNKNOWN, left_pusd))
    return [part for part in parts if part.amount_pusd]


def part_sentence(part: KeyPart) -> str:
    """Return a part in words."""
    sign = "+" if part.amount_pusd > 0 else "-"
    return f"{sign}${pusd_to_usd(abs(part.amount_pusd))} {BY_NAME[part.reason].text}."
