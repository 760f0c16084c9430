"""When the clocks of a time zone change, for SQL, which knows of no zones. Pure."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

_FIRST: Final = datetime(2015, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(2045, 1, 1, tzinfo=UTC)
_DAY: Final = timedelta(days=1)
_MINUTE: Final = timedelta(minutes=1)


class OffsetStep(NamedTuple):
    """From from_ms on (epoch ms) a zone is offset_ms ahead of UTC."""

    from_ms: int
    offset_ms: int


@lru_cache(maxsize=4)
def offset_steps(zone: ZoneInfo) -> tuple[OffsetStep, ...]:
    """Return the changes of a zone from 2015 to 2044, in the order of time; the first step holds before it too."""
    at, offset = _FIRST, _offset(zone, _FIRST)
    steps = [OffsetStep(0, _ms(offset))]
    while at < _LAST:
        following = at + _DAY
        if _offset(zone, following) != offset:
            following = _change_between(zone, at, following)
            offset = _offset(zone, following)
            steps.append(OffsetStep(int(following.timestamp() * 1000), _ms(offset)))
        at = following
    return tuple(steps)


def _change_between(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """Return the minute at which the offset is no longer that of before."""
    offset = _offset(zone, before)
    while after - before > _MINUTE:
        middle = before + (after - before) // 2
        middle = middle.replace(second=0, microsecond=0)
        if middle <= before:
            break
        if _offset(zone, middle) == offset:
            before = middle
        else:
            after = middle
    return after


def _offset(zone: ZoneInfo, at: datetime) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta()


def _ms(offset: timedelta) -> int:
    return int(offset.total_seconds() * 1000)
