"""How long a provider asks to wait, in any of the ways that providers say it."""

import math
from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

_MAX_CHARS = 64  # a longer value is no time


def read_retry_after(header: Callable[[str], str | None], error: Mapping[str, Any] | None, now_ms: int) -> float | None:
    """Give the seconds to wait, or None where nothing readable says so; now_ms is the wall clock (epoch ms).

    header gives the answer's header of a name; error is what stands under "error" in its body. In this order:
    retry-after-ms (OpenAI), Retry-After as seconds or an HTTP date, the same within metadata.headers (OpenRouter),
    metadata.retry_after_seconds, availability.retry_after, and last X-RateLimit-Reset as OpenRouter sends it: the
    epoch in milliseconds. What is negative, in the past or no number is passed over; what is huge is kept, for how
    long to wait at most is not decided here. It never raises.
    """
    metadata = _part(error, "metadata")
    inner = _header_of(_part(metadata, "headers"))
    readings = (
        _number(header("retry-after-ms"), 1000),
        _seconds_or_date(header("retry-after"), now_ms),
        _number(inner("retry-after-ms"), 1000),
        _seconds_or_date(inner("retry-after"), now_ms),
        _number(metadata.get("retry_after_seconds")),
        _number(_part(error, "availability").get("retry_after")),
        _until_ms(header("x-ratelimit-reset"), now_ms),
        _until_ms(inner("x-ratelimit-reset"), now_ms),
    )
    return next((wait_s for wait_s in readings if wait_s is not None), None)


def _part(whole: Mapping[str, Any] | None, name: str) -> Mapping[str, Any]:
    value = whole.get(name) if isinstance(whole, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _header_of(headers: Mapping[str, Any]) -> Callable[[str], Any]:
    lower = {name.lower(): value for name, value in headers.items() if isinstance(name, str)}
    return lower.get


def _number(value: object, divisor: int = 1) -> float | None:
    """Give a number, or a text that is one in plain digits; None for what is negative, infinite or else."""
    if isinstance(value, str):
        text = value.strip()
        plain = text.isascii() and text.replace(".", "", 1).isdigit() and len(text) <= _MAX_CHARS
        number = float(text) if plain else math.nan
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = _as_float(value)
    else:
        return None
    return number / divisor if number >= 0 and math.isfinite(number) else None


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of over 308 digits
        return math.inf


def _seconds_or_date(value: object, now_ms: int) -> float | None:
    seconds = _number(value)
    if seconds is not None or not isinstance(value, str) or len(value) > _MAX_CHARS:
        return seconds
    try:
        at = parsedate_to_datetime(value)
        at_s = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):  # what email.utils raises for odd dates
        return None
    return _ahead(at_s - now_ms / 1000)


def _until_ms(value: object, now_ms: int) -> float | None:
    """Give the seconds to an epoch in ms. OpenAI's headers of other names hold durations and are not asked for."""
    at_ms = _number(value)
    return None if at_ms is None else _ahead((at_ms - now_ms) / 1000)


def _ahead(seconds: float) -> float | None:
    return seconds if seconds >= 0 else None
