"""Compare what a provider has counted for a key with the ledger: over today, this week and this month of UTC."""

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Final, Literal

from msgspec import Struct

KeyWindow = Literal["day", "week", "month"]
KEY_WINDOWS: Final[tuple[KeyWindow, ...]] = ("day", "week", "month")


class KeyDay(Struct, frozen=True):
    """A day of a key. day: of UTC, as YYYY-MM-DD.

    booked_pusd: what the ledger has of it that this account bills. known_pusd: what the comparison of the day has found
    that the bill has more. is_whole: the rows of the day are all there.
    """

    day: str
    booked_pusd: int
    known_pusd: int
    is_whole: bool = True


class KeyDrift(Struct, frozen=True):
    """A window of a key. known_pusd: the part of the difference that the comparisons of its days have found."""

    window: KeyWindow
    since_day: str
    booked_pusd: int
    billed_pusd: int
    known_pusd: int

    @property
    def difference_pusd(self) -> int:
        """Return what the provider has counted more than the ledger."""
        return self.billed_pusd - self.booked_pusd

    @property
    def left_pusd(self) -> int:
        """Return the part of it that no comparison knows of."""
        return self.difference_pusd - self.known_pusd


def window_start(window: KeyWindow, today: date) -> date:
    """Return the day on which a provider's window began; weeks begin on Monday."""
    if window == "day":
        return today
    return today - timedelta(days=today.weekday()) if window == "week" else today.replace(day=1)


def first_day(today: date) -> date:
    """Return the first day that any of the windows reaches back to."""
    return min(window_start(window, today) for window in KEY_WINDOWS)


def compare_key(counted: Mapping[KeyWindow, int], days: Iterable[KeyDay], today: date) -> list[KeyDrift]:
    """Return the windows that the provider has counted and of which all rows are there. days: from first_day() on."""
    every = [*days]
    found = []
    for window in KEY_WINDOWS:
        if window not in counted:
            continue
        since = window_start(window, today).isoformat()
        own = [one for one in every if one.day >= since]
        if not all(one.is_whole for one in own):
            continue
        booked_pusd, known_pusd = sum(one.booked_pusd for one in own), sum(one.known_pusd for one in own)
        found.append(KeyDrift(window, since, booked_pusd, counted[window], known_pusd))
    return found
