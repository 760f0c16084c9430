"""The axis of time: ticks at round local times of a zone, through its changes of the clock."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_CLOCK_STEPS_S: Final = (
    1, 5, 15, 30, _MINUTE, 5 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE, _HOUR, 2 * _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR,
)  # fmt: skip
_DAY_STEPS: Final = (1, 2, 3, 7, 14)
_MONTH_STEPS: Final = (1, 2, 3, 6, 12, 24, 60, 120, 600)


class TimeTick(Struct, frozen=True):
    """A place on the axis and what stands below it."""

    at_ms: int
    text: str


class TimeAxis(Struct, frozen=True, dict=True):
    """The points of a chart: the instants at which hours, days or months begin in a zone, in order."""

    starts_ms: Sequence[int]
    zone: ZoneInfo

    def __post_init__(self) -> None:
        if any(second < first for first, second in zip(self.starts_ms, self.starts_ms[1:], strict=False)):
            raise ValueError("the points of a time axis are in order")

    def text(self, point: int) -> str:
        """Return a point in words: 2026-11, 2026-11-03 or 2026-11-03 14:00, its offset where an hour comes twice."""
        moment = _local(self.starts_ms[point], self.zone)
        return moment.strftime(self._form) if self._form else _hour_text(moment)

    def span_text(self, points: range) -> str:
        """Return neighbouring points in words: the only one, or "the first to the last"."""
        first = self.text(points[0])
        return first if len(points) == 1 else f"{first} to {self.text(points[-1])}"

    def every(self, runs: Sequence[range]) -> "TimeAxis":
        """Return the axis whose points are the first of each run."""
        return TimeAxis([self.starts_ms[run[0]] for run in runs], self.zone)

    @cached_property
    def _form(self) -> str:
        return _form_of([_local(ms, self.zone) for ms in self.starts_ms])

    def share(self, at_ms: int) -> float:
        """Return where an instant lies between the first point, 0, and the last, 1."""
        first, last = self.starts_ms[0], self.starts_ms[-1]
        return (at_ms - first) / (last - first) if last > first else 0.5

    def ticks(self, most: int = 8) -> list[TimeTick]:
        """Return at most so many ticks at round local times; at the only point where there is one."""
        if not self.starts_ms:
            return []
        first, last = self.starts_ms[0], self.starts_ms[-1]
        if first == last:
            return [TimeTick(first, self.text(0))]
        return _ticks(first, last, self.zone, most)


def _local(at_ms: int, zone: ZoneInfo) -> datetime:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)).astimezone(zone)


def _form_of(moments: Sequence[datetime]) -> str:
    """Return how points are written: as months or days where each begins one, else "" for days and hours."""
    at_days = all((moment.hour, moment.minute, moment.second) == (0, 0, 0) for moment in moments)
    if not at_days and len({moment.date() for moment in moments}) == len(moments) > 1:
        # Where the clock skips midnight, a day begins at 1.
        at_days = all(moment.hour <= 1 and moment.minute == moment.second == 0 for moment in moments)
    if at_days and len(moments) > 1 and all(moment.day == 1 for moment in moments):
        return "%Y-%m"
    return "%Y-%m-%d" if at_days else ""


def _hour_text(moment: datetime) -> str:
    text = f"{moment:%Y-%m-%d %H:%M:%S}" if moment.second else f"{moment:%Y-%m-%d %H:%M}"
    comes_twice = moment.replace(fold=0).utcoffset() != moment.replace(fold=1).utcoffset()
    return f"{text} {moment:%z}" if comes_twice else text


def _ticks(first_ms: int, last_ms: int, zone: ZoneInfo, most: int) -> list[TimeTick]:
    span_s = (last_ms - first_ms) / 1000
    first, last = _local(first_ms, zone), _local(last_ms, zone)
    for step in _CLOCK_STEPS_S:
        if span_s / step < most:
            form = "%H:%M:%S" if step < _MINUTE else "%H:%M"
            return _within(_clock_times(first, last, step), first_ms, last_ms, form)
    for days in _DAY_STEPS:
        if span_s / _DAY / days < most:
            return _within(_days(first, last, days), first_ms, last_ms, "%m-%d")
    for months in _MONTH_STEPS[:-1]:
        if span_s / _DAY / 28 / months < most:
            form = "%Y" if months % 12 == 0 else "%Y-%m"
            return _within(_months(first, last, months), first_ms, last_ms, form)
    return _within(_months(first, last, _MONTH_STEPS[-1]), first_ms, last_ms, "%Y")[:most]


def _within(moments: Iterator[datetime], first_ms: int, last_ms: int, form: str) -> list[TimeTick]:
    ticks: list[TimeTick] = []
    for moment in moments:
        at_ms = round(moment.timestamp() * 1000)
        if first_ms <= at_ms <= last_ms and (not ticks or at_ms > ticks[-1].at_ms):
            at_midnight = "%H" in form and (moment.hour, moment.minute, moment.second) == (0, 0, 0)
            ticks.append(TimeTick(at_ms, moment.strftime("%m-%d" if at_midnight else form)))
    return ticks


def _clock_times(first: datetime, last: datetime, step_s: int) -> Iterator[datetime]:
    """Yield the multiples of a step of each local day; hours that the clock skips are left out."""
    day = first.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    while day.date() <= last.date():
        start = 0
        if day.date() == first.date():
            start = (first.hour * _HOUR + first.minute * _MINUTE) // step_s
        for n in range(start, _DAY // step_s):
            moment = day + timedelta(seconds=n * step_s)  # wall time, as arithmetic on one zone is
            if _local(round(moment.timestamp() * 1000), moment.tzinfo).time() == moment.time():  # type: ignore[arg-type]
                yield moment
            if moment.replace(tzinfo=None) > last.replace(tzinfo=None):
                break
        day += timedelta(days=1)


def _days(first: datetime, last: datetime, step: int) -> Iterator[datetime]:
    ordinal = first.toordinal()
    while ordinal <= last.toordinal():
        if ordinal % step == 0:
            yield datetime.fromordinal(ordinal).replace(tzinfo=first.tzinfo)
        ordinal += 1


def _months(first: datetime, last: datetime, step: int) -> Iterator[datetime]:
    count = first.year * 12 + first.month - 1
    while count <= last.year * 12 + last.month - 1:
        if count % step == 0:
            yield datetime(count // 12, count % 12 + 1, 1, tzinfo=first.tzinfo)
        count += 1
