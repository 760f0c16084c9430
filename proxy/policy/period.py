"""Times as people type them: ``7d``, ``24h``, ``today``, ``this-month``, ``2026-11``, ``2026-11-01T08:00``."""

import re
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

_SPAN = re.compile(r"([0-9]{1,6})([smhdw])", re.ASCII)
_UNIT_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
MOMENT_NAMES: Final = ("today", "yesterday", "this-week", "last-week", "this-month", "last-month", "this-year")
LAST_MS: Final = 253_402_214_400_000  # 9999-12-31T00:00Z: after some hours more a zone has the year 10000
_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}", re.ASCII)


def span_ms(text: str) -> int | None:
    """Return the length of a span such as 30d in milliseconds; None for any other text."""
    match = _SPAN.fullmatch(text.strip())
    return int(match[1]) * _UNIT_MS[match[2]] if match else None


def read_moment(text: str, zone: ZoneInfo, now_ms: int, *, ahead: bool = False) -> int:
    """Return milliseconds since 1970. A span counts back from now, or ahead; a date is its first instant in zone.

    Raises ValueError that says what may be written.
    """
    length_ms = span_ms(text)
    try:
        if length_ms is not None:
            found_ms = now_ms + length_ms if ahead else max(0, now_ms - length_ms)
        else:
            found_ms = _instant_ms(text.strip(), zone, now_ms)
    except (ValueError, OverflowError):
        found_ms = -1
    if not 0 <= found_ms <= LAST_MS:
        raise ValueError(
            f"{text!r} is not a time I know. Write 7d, 24h, {', '.join(MOMENT_NAMES)}, 2026-11, 2026-11-01 or"
            f" 2026-11-01T08:00 (zone {zone.key}; Z is UTC)."
        )
    return found_ms


def read_month(text: str, zone: ZoneInfo, now_ms: int) -> tuple[int, int]:
    """Return the first instant of a month and that of the next; raises ValueError that says what may be written."""
    name = text.strip().lower()
    mistake = ValueError(f"{text!r} is not a month. Write 2026-11, this-month or last-month.")
    if name not in ("this-month", "last-month") and not _MONTH.fullmatch(name):
        raise mistake
    try:
        start_ms = read_moment(name, zone, now_ms)
        first = datetime.fromtimestamp(start_ms / 1000, zone)
        following = (first.replace(day=28) + timedelta(days=7)).replace(day=1)
        return start_ms, round(following.timestamp() * 1000)
    except (ValueError, OverflowError):  # 2026-13, 9999-12
        raise mistake from None


def _instant_ms(text: str, zone: ZoneInfo, now_ms: int) -> int:
    moment = _named(text.lower(), zone, now_ms) or datetime.fromisoformat(_with_day(text))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return round(moment.timestamp() * 1000)


def _named(text: str, zone: ZoneInfo, now_ms: int) -> datetime | None:
    """Return the first instant of a day, week (from Monday), month or year by its name; None for another text."""
    if text not in MOMENT_NAMES:
        return None
    today = datetime.fromtimestamp(now_ms / 1000, zone).date()
    monday = today - timedelta(days=today.weekday())
    first = today.replace(day=1)
    day = {
        "today": today,
        "yesterday": today - timedelta(days=1),
        "this-week": monday,
        "last-week": monday - timedelta(days=7),
        "this-month": first,
        "last-month": (first - timedelta(days=1)).replace(day=1),
        "this-year": today.replace(month=1, day=1),
    }[text]
    return datetime(day.year, day.month, day.day, tzinfo=zone)


def _with_day(text: str) -> str:
    return f"{text}-01" if _MONTH.fullmatch(text) else text
