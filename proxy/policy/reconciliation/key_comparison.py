"""Compare what a provider has counted for a key with the ledger: over today, this week and this month of UTC.

It books nothing: a sum does not say whose it is.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Final, Literal

from msgspec import Struct

from proxy.policy.reconciliation.day_comparison import ROUNDING_PUSD
from proxy.policy.reconciliation.drift_class import UNKNOWN
from proxy.policy.reconciliation.key_reason import CountedTime, KeyDoubt, KeyPart, explain

KeyWindow = Literal["day", "week", "month"]
KEY_WINDOWS: Final[tuple[KeyWindow, ...]] = ("day", "week", "month")
COUNTED_AFTER_MS: Final = 15 * 60_000  # how late a provider may count what has ended; none says
NO_DOUBT: Final = KeyDoubt()
RUNNING_TIME: Final = CountedTime()
_LONG_MS: Final = 86_400_000


class KeyDay(Struct, frozen=True):
    """A day of a key. day: of UTC, as YYYY-MM-DD.

    booked_pusd: what the ledger has of it that this account bills. known_pusd: what the comparison of the day has found
    that the bill has more. is_whole: the rows of the day are all there. doubt: what of it is not certain; its
    earlier_pusd is what of the day may be counted on the day after. upstream_pusd: what others bill for keys of ours
    behind the provider. replaced_pusd: booked for another key that had a name of this one. users_pusd: booked for keys
    of users' own at the same provider, which have other accounts.
    """

    day: str
    booked_pusd: int
    known_pusd: int
    is_whole: bool = True
    doubt: KeyDoubt = NO_DOUBT
    upstream_pusd: int = 0
    replaced_pusd: int = 0
    users_pusd: int = 0


class KeyBooks(Struct, frozen=True):
    """What the ledger has of a key. first_ms: when it came here; None: no row remembers it."""

    days: Sequence[KeyDay]
    first_ms: int | None = None


class KeyDrift(Struct, frozen=True):
    """A window of a key. known_pusd: the part of the difference that the comparisons of its days have found.

    parts: the rest of it, by reason.
    """

    window: KeyWindow
    since_day: str
    booked_pusd: int
    billed_pusd: int
    known_pusd: int
    parts: tuple[KeyPart, ...] = ()
    upstream_pusd: int = 0
    replaced_pusd: int = 0
    users_pusd: int = 0

    @property
    def difference_pusd(self) -> int:
        """Return what the provider has counted more than the ledger."""
        return self.billed_pusd - self.booked_pusd

    @property
    def left_pusd(self) -> int:
        """Return the part of it that no comparison knows of."""
        return self.difference_pusd - self.known_pusd

    @property
    def unexplained_pusd(self) -> int:
        """Return the part of it that nothing explains."""
        return sum(part.amount_pusd for part in self.parts if part.reason == UNKNOWN)


def window_start(window: KeyWindow, today: date) -> date:
    """Return the day on which a provider's window began; weeks begin on Monday."""
    if window == "day":
        return today
    return today - timedelta(days=today.weekday()) if window == "week" else today.replace(day=1)


def first_day(today: date) -> date:
    """Return the first day that any of the windows reaches back to."""
    return min(window_start(window, today) for window in KEY_WINDOWS)


def compare_key(
    counted: Mapping[KeyWindow, int],
    days: Iterable[KeyDay],
    today: date,
    came_day: str = "",
    passed_ms: int = _LONG_MS,
) -> list[KeyDrift]:
    """Return the windows that the provider has counted and of which all rows are there.

    days: from first_day() on, with the hours before it. came_day: on which the key came here; "": long ago. passed_ms:
    how much of today had passed when the provider was asked.
    """
    every = [*days]
    found = []
    for window in KEY_WINDOWS:
        if window not in counted:
            continue
        since = window_start(window, today)
        own = [one for one in every if one.day >= since.isoformat()]
        if all(one.is_whole for one in own):
            before = [one for one in every if one.day == (since - timedelta(days=1)).isoformat()]
            is_young = since == today and passed_ms < COUNTED_AFTER_MS
            time = CountedTime(is_first=since.isoformat() <= came_day, is_young=is_young)
            found.append(compare_days(window, since, counted[window], own, before, time))
    return found


def compare_days(
    window: KeyWindow,
    since: date,
    billed_pusd: int,
    days: Sequence[KeyDay],
    before: Sequence[KeyDay] = (),
    time: CountedTime = RUNNING_TIME,
) -> KeyDrift:
    """Return days beside a count of them. before: the day before, if anything is known of it."""
    booked_pusd, known_pusd = sum(one.booked_pusd for one in days), sum(one.known_pusd for one in days)
    doubt = KeyDoubt(
        sum(one.doubt.calls for one in days),
        sum(one.doubt.reservation_pusd for one in days),
        sum(one.doubt.estimated_pusd for one in days),
        sum(one.doubt.pending_pusd for one in days),
        sum(one.doubt.running_pusd for one in days),
        sum(one.doubt.recent_pusd for one in days),
        sum(one.doubt.earlier_pusd for one in before),
        sum(one.doubt.unbounded for one in days),
    )
    left_pusd = billed_pusd - booked_pusd - known_pusd
    return KeyDrift(
        window,
        since.isoformat(),
        booked_pusd,
        billed_pusd,
        known_pusd,
        tuple(explain(left_pusd, doubt, ROUNDING_PUSD, time)),
        sum(one.upstream_pusd for one in days),
        sum(one.replaced_pusd for one in days),
        sum(one.users_pusd for one in days),
    )
