"""Values that rules are held against, worked out of figures that others keep."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

from msgspec import Struct

from proxy.core.limit_kinds import BY_NAME
from proxy.core.money import pusd_to_usd
from proxy.policy.forecast import WindowWeights, forecast
from proxy.policy.quota import LimitRow

_DURATION_STEPS: Final = 12  # buckets for each doubling: a bucket is 6 % wide
_DOUBLINGS: Final = 42  # the last bucket begins beyond a century
_BUCKETS: Final = [
    (1 << doublings) + -(-(step << doublings) // _DURATION_STEPS)
    for doublings in range(_DOUBLINGS)
    for step in range(_DURATION_STEPS)
]
duration_bucket: Final[Callable[[int], int]] = partial(bisect_right, _BUCKETS)
"""Return the bucket of a duration in ms, 0 below 1; each is 6 % wider than the one before."""


class AlertReading(Struct, frozen=True):
    """One value of one subject. scope: what a rule's scope is matched with. window_ms: of a windowed kind, its window.

    detail: the figures behind it, in words.
    """

    subject: str
    scope: str
    value: float
    window_ms: int = 0
    detail: str = ""


def limit_subject(row: LimitRow) -> str:
    """Return the name of a limit: its scope, kind and window, and the models that it counts where not all."""
    mode = "" if row.mode == "hard" else " soft"
    return f"{row.scope} {row.kind} {row.window}{mode}" + (f" of {', '.join(row.models)}" if row.models else "")


def share_of(row: LimitRow, *, with_reserved: bool) -> float:
    """Return what is used of a limit in percent, exact at 100; reserved amounts count where that is wanted."""
    return _percent(row.used + (row.reserved if with_reserved else 0), row.limit)


def limit_share(row: LimitRow, window_ms: int, *, with_reserved: bool) -> AlertReading:
    """Return share_of() with what it is of."""
    value = share_of(row, with_reserved=with_reserved)
    return AlertReading(limit_subject(row), row.scope, value, window_ms, _limit_detail(row))


def limit_forecast(row: LimitRow, start_ms: int, weights: WindowWeights) -> AlertReading | None:
    """Return what a limit comes to in percent by the end of its window; None while that cannot be said."""
    amount = forecast(row.used, weights)
    if amount is None:
        return None
    return AlertReading(limit_subject(row), row.scope, _percent(amount, row.limit), start_ms, _limit_detail(row))


def spend_rate(scope: str, spent_pusd: int, before_pusd: int, least_pusd: int) -> AlertReading:
    """Return spending against that of last week in percent; 0 where less than least_pusd was spent now.

    Where nothing was spent last week, all of it is new, and least_pusd is what it is held against.
    """
    base_pusd = max(before_pusd, least_pusd, 1)
    value = 0.0 if spent_pusd < least_pusd else _percent(spent_pusd, base_pusd)
    detail = f"${pusd_to_usd(spent_pusd)} now, ${pusd_to_usd(before_pusd)} a week before"
    return AlertReading(scope, scope, value, detail=detail)


def rate(scope: str, marked: int, all_: int, least: int) -> AlertReading:
    """Return a share in percent; 0 while there were fewer than least."""
    value = 0.0 if all_ < max(least, 1) else _percent(marked, all_)
    return AlertReading(scope, scope, value, detail=f"{marked} of {all_} requests")


def bucket_end_ms(bucket: int) -> float:
    """Return the duration that a bucket ends at."""
    if bucket == 0:
        return 1.0
    doublings, step = divmod(bucket - 1, _DURATION_STEPS)
    return float(1 << doublings) * (1 + (step + 1) / _DURATION_STEPS)


def percentile_ms(buckets: Iterable[tuple[int, int]], percent: int) -> float | None:
    """Return the duration below which a share of the counted ones lies, by the end of its bucket; None without any."""
    counts = sorted(buckets)
    all_ = sum(count for _, count in counts)
    passed = 0
    for bucket, count in counts:
        passed += count
        if passed * 100 >= all_ * percent and count:
            return bucket_end_ms(bucket)
    return None


def price_move(before: Mapping[str, int], now: Mapping[str, int]) -> float:
    """Return by how much one of the prices moved the most, in percent of what it was; one that is new or gone: 100."""
    moves = [100.0 for name in before.keys() ^ now.keys() if before.get(name) or now.get(name)]
    for name in before.keys() & now.keys():
        was, is_ = before[name], now[name]
        if was != is_:
            moves.append(_percent(abs(is_ - was), was) if was else 100.0)
    return max(moves, default=0.0)


def _percent(part: int, whole: int) -> float:
    """Return a share in percent, cut to hundredths: it is 100 only where all of it is reached."""
    return (part * 10_000 // max(whole, 1)) / 100


def _limit_detail(row: LimitRow) -> str:
    money = BY_NAME[row.kind].unit == "money"
    used, reserved, limit = (
        f"${pusd_to_usd(amount)}" if money else str(amount) for amount in (row.used, row.reserved, row.limit)
    )
    return f"{used} of {limit} is used, {reserved} more is reserved"
