"""Calendar windows of a zone over many years: no gap, no overlap, each begun where a wall clock shows a new date."""

import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import resources
from zoneinfo import ZoneInfo

from proxy.policy.quota.window import window_bounds

FIRST_MS = int(datetime(2020, 1, 1, tzinfo=UTC).timestamp()) * 1000
LAST_MS = int(datetime(2041, 1, 1, tzinfo=UTC).timestamp()) * 1000
_HOUR_MS = 3_600_000
_MINUTE_MS = 60_000
_TEXTS_MAX = 20
_NO_ZONES = frozenset({"localtime", "posixrules", "Factory"})


@dataclass(slots=True)
class Tiled:
    """windows: how many were walked through. faults: in words."""

    zone: str
    windows: int = 0
    changes: int = 0  # of the offset, around which hours and minutes were walked too
    faults: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        if len(self.faults) < _TEXTS_MAX:
            self.faults.append(f"{self.zone}: {text}")


def zones() -> list[str]:
    """Give all IANA zones, each set of rules once."""
    folder = resources.files("tzdata.zoneinfo")
    names = sorted(zoneinfo.available_timezones() - _NO_ZONES)
    return sorted({folder.joinpath(name).read_bytes(): name for name in names}.values())


def tile(name: str) -> Tiled:
    """Walk through days, weeks and months of 2020 to 2040, and through hours and minutes where the clock changes."""
    zone, tiled = ZoneInfo(name), Tiled(name)
    for window in ("day", "week", "month"):
        for start_ms in _walk(window, zone, FIRST_MS, LAST_MS, tiled):
            _new_date(window, zone, start_ms, tiled)
    for change_ms in _changes(zone):
        tiled.changes += 1
        for _ in _walk("hour", zone, change_ms - 30 * _HOUR_MS, change_ms + 30 * _HOUR_MS, tiled):
            pass
        for _ in _walk("minute", zone, change_ms - 90 * _MINUTE_MS, change_ms + 90 * _MINUTE_MS, tiled):
            pass
    return tiled


def _walk(window: str, zone: ZoneInfo, first_ms: int, last_ms: int, tiled: Tiled) -> Iterator[int]:
    """Give the start of each window; each must begin where the one before ended, and be the same from within."""
    start_ms = window_bounds(window, zone, first_ms)[0]
    if start_ms > first_ms:
        tiled.say(f"the {window} of {first_ms} begins after it")
    while start_ms < last_ms:
        tiled.windows += 1
        found = window_bounds(window, zone, start_ms)
        end_ms = found[1]
        if end_ms is None or found[0] != start_ms or end_ms <= start_ms:
            tiled.say(f"the {window} of {start_ms} is {found}")
            return
        if window_bounds(window, zone, (start_ms + end_ms) // 2) != found:
            tiled.say(f"the {window} {found} is another one in its middle")
        if window_bounds(window, zone, end_ms - 1) != found:
            tiled.say(f"the {window} {found} is another one at its end")
        yield start_ms
        start_ms = end_ms


def _new_date(window: str, zone: ZoneInfo, start_ms: int, tiled: Tiled) -> None:
    """Hold a start against the calendar: a new day, Monday or first began, and the second before it had not."""
    local = datetime.fromtimestamp(start_ms // 1000, UTC).astimezone(zone)
    before = datetime.fromtimestamp(start_ms // 1000 - 1, UTC).astimezone(zone)
    if before.date() >= local.date():
        tiled.say(f"the {window} at {start_ms} begins on {local.date()}, a second before it was {before.date()}")
    elif (window == "week" and local.weekday() != 0) or (window == "month" and local.day != 1):
        tiled.say(f"the {window} at {start_ms} begins on {local:%A %d}")


def _changes(zone: ZoneInfo) -> Iterator[int]:
    """Give the hours within which the zone's offset changes."""
    step_ms = 6 * _HOUR_MS
    last = _offset(zone, FIRST_MS)
    for at_ms in range(FIRST_MS, LAST_MS, step_ms):
        now = _offset(zone, at_ms)
        if now != last:
            low_ms = at_ms - step_ms
            while _offset(zone, low_ms + _HOUR_MS) == last:
                low_ms += _HOUR_MS
            yield low_ms + _HOUR_MS
        last = now


def _offset(zone: ZoneInfo, at_ms: int) -> object:
    return datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(zone).utcoffset()
