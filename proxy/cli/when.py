"""Moments as people type them: ``7d``, ``24h``, ``30m``, ``2026-11-01``, ``2026-11-01T08:00``, with Z or an offset."""

import re
from datetime import datetime
from zoneinfo import ZoneInfo

import click

_SPAN = re.compile(r"([0-9]{1,6})([smhdw])", re.ASCII)
_UNIT_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


def span_ms(text: str) -> int | None:
    """Give the length of a span such as 30d in milliseconds; None for what is none."""
    match = _SPAN.fullmatch(text.strip())
    return int(match[1]) * _UNIT_MS[match[2]] if match else None


def moment_ms(text: str, zone: ZoneInfo, now_ms: int, *, option: str, ahead: bool = False) -> int:
    """Give milliseconds since 1970. A span counts back from now, or ahead of it; a date is its first instant in zone.

    Raises click.BadParameter that names the option.
    """
    length_ms = span_ms(text)
    if length_ms is not None:
        return now_ms + length_ms if ahead else max(0, now_ms - length_ms)
    try:
        moment = datetime.fromisoformat(text.strip())
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone)
        found_ms = round(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        found_ms = -1
    if found_ms < 0:
        raise click.BadParameter(
            f"{text!r} is no moment. Write 7d, 24h, 2026-11-01 or 2026-11-01T08:00 (zone {zone.key}; Z is UTC).",
            param_hint=option,
        )
    return found_ms


def shown(ms: int | None, zone: ZoneInfo) -> str | None:
    """Give a moment for people, in their zone, to the minute."""
    return None if ms is None else datetime.fromtimestamp(ms / 1000, zone).strftime("%Y-%m-%d %H:%M")
