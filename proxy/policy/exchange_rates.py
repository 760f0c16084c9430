"""What a dollar costs in the local currency over time: steps that begin with full hours, as the roll-up does.

What is held of the past stays; only what begins after the hour at hand may become another rate.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Context, Decimal
from typing import NamedTuple
from zoneinfo import ZoneInfo

from proxy.policy.quota.window import HOUR_MS, first_instant_ms

EXACT = Context(prec=120)  # 19 digits of pico-USD times a rate of at most some 60, and sums of many of them


class RateStep(NamedTuple):
    """From from_ms (milliseconds since 1970) on 1 USD costs usd_rate, decimal text."""

    from_ms: int
    usd_rate: str


def dated_steps(dated: Mapping[date, Decimal], zone: ZoneInfo) -> tuple[RateStep, ...]:
    """Return steps that begin with the first full hour of each date."""
    steps = {_first_hour_ms(zone, day): plain_text(rate) for day, rate in sorted(dated.items())}
    return tuple(map(RateStep._make, steps.items()))


def _first_hour_ms(zone: ZoneInfo, day: date) -> int:
    if day.year < 1970:  # no request is as old, and in the year 1 a zone has no midnight that can be told
        return 0
    return max(0, -(-first_instant_ms(zone, day) // HOUR_MS) * HOUR_MS)


def first_rates(wanted: Sequence[RateStep]) -> tuple[RateStep, ...]:
    """Return the rates of a currency that none is held of yet: the first one holds for all that was before, too."""
    return _without_repeats([step._replace(from_ms=0) if n == 0 else step for n, step in enumerate(wanted)])


def join_steps(held: Sequence[RateStep], wanted: Sequence[RateStep], from_ms: int) -> tuple[RateStep, ...]:
    """Return what is held before from_ms, and what is wanted from it on; first_rates() where nothing is held.

    What is held goes on until the first that is wanted begins. Neighbours of one rate are one step.
    """
    if not wanted:
        return tuple(held)
    if not held:
        return first_rates(wanted)
    begin_ms = max(from_ms, wanted[0].from_ms)
    kept = [step for step in held if step.from_ms < begin_ms]
    begun = {max(begin_ms, step.from_ms): step.usd_rate for step in wanted}  # of those that are past the last
    return _without_repeats([*kept, *map(RateStep._make, begun.items())])


def _without_repeats(steps: Sequence[RateStep]) -> tuple[RateStep, ...]:
    found: list[RateStep] = []
    for step in steps:
        if not found or Decimal(found[-1].usd_rate) != Decimal(step.usd_rate):
            found.append(step)
    return tuple(found)


def rate_at(steps: Sequence[RateStep], at_ms: int) -> str | None:
    """Return the rate that holds at a time; None: none is known. steps are in the order of time."""
    found = None
    for step in steps:
        if step.from_ms > at_ms:
            break
        found = step.usd_rate
    return found


def rate_spans(steps: Sequence[RateStep], start_ms: int, end_ms: int) -> Iterator[tuple[int, int, str | None]]:
    """Yield (start, end, rate) of the parts of a time that have one rate each; together they are that time."""
    begin_ms, rate = start_ms, rate_at(steps, start_ms)
    for step in steps:
        if start_ms < step.from_ms < end_ms:
            yield begin_ms, step.from_ms, rate
            begin_ms, rate = step.from_ms, step.usd_rate
    if begin_ms < end_ms:
        yield begin_ms, end_ms, rate


def local_amount(pusd: int, usd_rate: str) -> Decimal:
    """Return pico-USD in the local currency, exact."""
    return EXACT.multiply(EXACT.scaleb(Decimal(pusd), -12), Decimal(usd_rate))


def plain_text(amount: Decimal) -> str:
    """Return a number as decimal text, without an exponent and without zeros at its end."""
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
