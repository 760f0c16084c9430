"""How long a provider asks to wait, in every form that providers use."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from proxy.core.http_date import read_http_date

_MAX_CHARS: Final = 64  # a longer value is not a time
_TEXT_MAX_CHARS: Final = 4000
_PARTS_MAX: Final = 200
_DEPTH_MAX: Final = 8

_UNITS_S: Final[Mapping[str, float]] = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
# Patterns are compiled when they are first wanted, as re does: a start need not wait for them.
_UNIT: Final = (
    r"milliseconds?|millis|msecs?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d|weeks?|w"  # in this order
)
_PART: Final = rf"(\d{{1,15}}(?:\.\d{{1,15}})?)\s*({_UNIT})(?![a-z])"
_DURATION: Final = rf"(?:{_PART}(?:\s*(?:,|and)?\s*))+"
# "Please try again in 7m12.5s", "retry after 38 seconds", "wait 1 minute", "reset after 5s": the words before the time.
_ASKS: Final = (
    r"(?:try again|retry|retrying|wait|available|reset|resets|regain access|come back|back ?off)"
    r"[^.\d]{0,60}?(?P<time>\d[^\"\n]{0,60})"
)
_INSTANT: Final = (
    r"(\d{4}-\d{2}-\d{2})(?:[ t]+(?:at )?(\d{2}:\d{2}(?::\d{2})?)(?:\.\d+)?\s*(z|utc|gmt|[+-]\d{2}:?\d{2})?)?"
)
_RESETS: Final = (  # until when a limit holds, by the headers of OpenRouter, OpenAI and Groq, Anthropic, and others
    ("x-ratelimit-reset", ("x-ratelimit-remaining",)),
    ("x-ratelimit-reset-requests", ("x-ratelimit-remaining-requests",)),
    ("x-ratelimit-reset-tokens", ("x-ratelimit-remaining-tokens",)),
    ("anthropic-ratelimit-requests-reset", ("anthropic-ratelimit-requests-remaining",)),
    ("anthropic-ratelimit-tokens-reset", ("anthropic-ratelimit-tokens-remaining",)),
    ("anthropic-ratelimit-input-tokens-reset", ("anthropic-ratelimit-input-tokens-remaining",)),
    ("anthropic-ratelimit-output-tokens-reset", ("anthropic-ratelimit-output-tokens-remaining",)),
    ("anthropic-ratelimit-unified-reset", ()),
    ("x-ratelimit-reset-requests-minute", ("x-ratelimit-remaining-requests-minute",)),
    ("x-ratelimit-reset-tokens-minute", ("x-ratelimit-remaining-tokens-minute",)),
    ("x-ratelimit-reset-requests-day", ("x-ratelimit-remaining-requests-day",)),
    ("ratelimit-reset", ("ratelimit-remaining",)),
    ("x-rate-limit-reset", ("x-rate-limit-remaining",)),
)
_SECONDS_KEYS: Final = frozenset(
    {"retry_after_seconds", "retry_after", "retryafter", "retry_after_s", "retryafterseconds", "estimated_time"}
)
_MS_KEYS: Final = frozenset({"retry_after_ms", "retryafterms"})
_DELAY_KEYS: Final = frozenset({"retrydelay", "retry_delay"})  # google.rpc.RetryInfo: "38s", "0.5s", or {"seconds": 38}
_TEXT_KEYS: Final = frozenset(
    {"message", "msg", "detail", "raw", "status_msg", "error_msg", "error_message", "error", "title", "description"}
)

Header = Callable[[str], Any]


def read_retry_after(
    header: Callable[[str], str | None], error: Mapping[str, Any] | None, now_ms: int, *, is_limit: bool = True
) -> float | None:
    """Return the seconds to wait, or None where nothing readable says so; now_ms is the wall clock (epoch ms).

    header gives the answer's header of a name; error is the error object in its body (wire/error.py). In this order:

    1. retry-after-ms, Retry-After as seconds, with a unit, or as a date; the same within metadata.headers (OpenRouter)
    2. a value of the body: retry_after_seconds, retry_after, retryDelay (Google), estimated_time (Hugging Face)
    3. a text: "try again in 7m12.5s", "retry after 38 seconds", "wait 1 minute", "resets at 2026-12-01 00:00 UTC"
    4. the reset of a limit in a header: a duration (OpenAI), epoch seconds or ms, ISO 8601 (Anthropic); of several that
       with nothing remaining, else the soonest. These headers stand on every answer of some providers: where it is not
       known that it is a limit (is_limit) only those with nothing remaining count.

    What is negative, in the past or no time is passed over; what is huge is kept: how long to wait at most is not
    decided here. It never raises.
    """
    metadata = error.get("metadata") if isinstance(error, Mapping) else None
    inner = _header_of(metadata.get("headers") if isinstance(metadata, Mapping) else None)
    readings = (
        _told(header, now_ms),
        _told(inner, now_ms),
        _in_values(error),
        _in_texts(error, now_ms),
        _reset(header, now_ms, is_limit=is_limit),
        _reset(inner, now_ms, is_limit=is_limit),
    )
    return next((wait_s for wait_s in readings if wait_s is not None), None)


def _header_of(headers: Any) -> Header:
    known = headers if isinstance(headers, Mapping) else {}
    lower = {name.lower(): value for name, value in known.items() if isinstance(name, str)}
    return lower.get


def _told(header: Header, now_ms: int) -> float | None:
    ms = _number(header("retry-after-ms"), 1000)
    return _time(header("retry-after"), now_ms) if ms is None else ms


def _time(value: object, now_ms: int) -> float | None:
    """Return the seconds that a Retry-After asks for: a number, one with a unit, or a date."""
    seconds = _number(value)
    if seconds is not None or not isinstance(value, str) or len(value) > _MAX_CHARS:
        return seconds
    seconds = _duration(value.strip().lower(), whole=True)
    if seconds is not None:
        return seconds
    try:
        at = read_http_date(value)
        at_s = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return _until(_instant(value.strip().lower()), now_ms)
    return _ahead(at_s - now_ms / 1000)


def _reset(header: Header, now_ms: int, *, is_limit: bool) -> float | None:
    waits: list[float] = []
    for name, remaining in _RESETS:
        wait_s = _reset_s(header(name), now_ms)
        if wait_s is None:
            continue
        if any(_number(header(left)) == 0 for left in remaining):
            return wait_s
        waits.append(wait_s)
    return min(waits, default=None) if is_limit else None


def _reset_s(value: object, now_ms: int) -> float | None:
    """Return the seconds to a reset: a duration, an epoch in s or ms by its size, or an ISO 8601 time."""
    number = _number(value)
    if number is not None:
        at_s = number / 1000 if number > 10**11 else number  # 10**11 s are the year 5138
        return _ahead(at_s - now_ms / 1000) if number > 10**9 else number
    if not isinstance(value, str) or len(value) > _MAX_CHARS:
        return None
    text = value.strip().lower()
    wait_s = _duration(text, whole=True)
    return _until(_instant(text), now_ms) if wait_s is None else wait_s


def _in_values(error: Mapping[str, Any] | None) -> float | None:
    for name, value in _values(error):
        if name in _SECONDS_KEYS:
            wait_s = _number(value)
        elif name in _MS_KEYS:
            wait_s = _number(value, 1000)
        elif name in _DELAY_KEYS:
            wait_s = _delay(value)
        else:
            continue
        if wait_s is not None:
            return wait_s
    return None


def _delay(value: object) -> float | None:
    if isinstance(value, Mapping):
        return _number(value.get("seconds"))
    if not isinstance(value, str) or len(value) > _MAX_CHARS:
        return _number(value)
    return _duration(value.strip().lower(), whole=True)


def _in_texts(error: Mapping[str, Any] | None, now_ms: int) -> float | None:
    for name, value in _values(error):
        if name in _TEXT_KEYS and isinstance(value, str):
            wait_s = _in_text(value[:_TEXT_MAX_CHARS].lower(), now_ms)
            if wait_s is not None:
                return wait_s
    return None


def _in_text(text: str, now_ms: int) -> float | None:
    for asks in re.finditer(_ASKS, text):
        told = asks["time"]
        wait_s = _until(_instant(told), now_ms)
        if wait_s is None:
            wait_s = _duration(told)
        if wait_s is not None:
            return wait_s
    return None


def _values(error: Any) -> Iterable[tuple[str, Any]]:
    """Yield the named values of an error and of all within it, the outer ones first."""
    parts: list[tuple[str, Any, int]] = [("", error, 0)]
    for n in range(_PARTS_MAX):
        if n >= len(parts):
            return
        name, value, depth = parts[n]
        if name:
            yield name, value
        if depth >= _DEPTH_MAX or name == "headers":
            continue
        if isinstance(value, Mapping):
            parts += [(str(key).lower(), part, depth + 1) for key, part in value.items()]
        elif isinstance(value, list):
            parts += [(name if isinstance(part, str) else "", part, depth + 1) for part in value[:_PARTS_MAX]]


def _duration(text: str, *, whole: bool = False) -> float | None:
    """Return the seconds of a text such as 7m12.5s, 1 minute, 20ms; whole: there is nothing else in it."""
    found = re.fullmatch(_DURATION, text) if whole else re.match(_DURATION, text)
    if found is None:
        return None
    total_s = 0.0
    for number, unit in re.findall(_PART, found[0]):
        name = "ms" if unit.startswith(("ms", "milli")) else unit[0]
        total_s += float(number) * _UNITS_S[name]
    return total_s if math.isfinite(total_s) else None


def _instant(text: str) -> float | None:
    """Return the epoch seconds of the ISO 8601 time that a text begins with, UTC where it names no zone."""
    found = re.match(_INSTANT, text)
    if found is None:
        return None
    day, time, zone = found.groups()
    zone = "+00:00" if zone in (None, "z", "utc", "gmt") else zone
    try:
        return datetime.fromisoformat(f"{day}T{time or '00:00'}{zone}").timestamp()
    except (ValueError, OverflowError):
        return None


def _until(at_s: float | None, now_ms: int) -> float | None:
    return None if at_s is None else _ahead(at_s - now_ms / 1000)


def _number(value: object, divisor: int = 1) -> float | None:
    """Return a number, or a text that is one in plain digits; None for what is negative, infinite or else."""
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


def _ahead(seconds: float) -> float | None:
    return seconds if seconds >= 0 else None
