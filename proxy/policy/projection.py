"""What spending comes to in the coming months if it grows at a steady pace, and how far a revenue pays for it."""

import re
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Final, NamedTuple

SPANS: Final = (12, 24, 36)  # months
_EXACT = Context(prec=60, rounding=ROUND_HALF_UP)
_GROWTH = re.compile(r"([+-]?[0-9]{1,4}(?:\.[0-9]{1,6})?) ?%(?:/(month|year))?", re.ASCII)
_MONTHS_OF_YEAR = 12
_PERCENT = Decimal(100)
_RATE_MAX = Decimal(10)  # a month: 1000 %


class ProjectionError(ValueError):
    """The text is not a pace, or not an amount of money over time."""


def read_growth(text: str) -> Decimal:
    """Return the growth of a month as a factor: ``5%/month`` is 1.05; of a year its twelfth root.

    Raises ProjectionError that says what may be written.
    """
    match = _GROWTH.fullmatch(text.strip())
    if match is None:
        raise ProjectionError(f"{text!r} is not a pace. Write 5%/month or 60%/year; a decline is -5%/month.")
    factor = 1 + Decimal(match[1]) / _PERCENT
    if factor <= 0 or factor > 1 + _RATE_MAX:
        raise ProjectionError(f"{text!r}: from more than -100% to 1000% can be projected.")
    if match[2] == "year":
        return _EXACT.power(factor, _EXACT.divide(Decimal(1), Decimal(_MONTHS_OF_YEAR)))
    return factor


def project(month_pusd: int, growth: Decimal, months: int) -> list[int]:
    """Return what each of the months after one that cost month_pusd comes to, rounded to a pico-USD."""
    found, amount = [], Decimal(month_pusd)
    for _ in range(months):
        amount = _EXACT.multiply(amount, growth)
        found.append(int(amount.to_integral_value(context=_EXACT)))
    return found


class Projection(NamedTuple):
    """What the coming months cost together, by their number."""

    month_pusd: int
    growth: Decimal
    sums_pusd: dict[int, int]

    @classmethod
    def of_month(cls, month_pusd: int, growth: Decimal, spans: Sequence[int] = SPANS) -> "Projection":
        """Return the sums over each of the spans, from a month that all of them follow."""
        costs = project(month_pusd, growth, max(spans))
        return cls(month_pusd, growth, {span: sum(costs[:span]) for span in spans})


_MONEY = re.compile(r"\$? ?([0-9]{1,12}(?:\.[0-9]{1,12})?)(?: ?USD)?(?: ?/ ?(month|year))?", re.ASCII | re.IGNORECASE)


def read_revenue(text: str) -> int:
    """Return the pico-USD a month of ``$500/month`` or ``$6000/year``; raises ProjectionError."""
    match = _MONEY.fullmatch(text.strip())
    if match is None:
        raise ProjectionError(f"{text!r} is not a revenue. Write an amount in USD over time, such as $500/month.")
    amount = _EXACT.scaleb(Decimal(match[1]), 12)
    if (match[2] or "month").lower() == "year":
        amount = _EXACT.divide(amount, Decimal(_MONTHS_OF_YEAR))
    return int(amount.to_integral_value(context=_EXACT))


class BreakEven(NamedTuple):
    """A revenue of a month beside what the month costs.

    returned: revenue less cost, over the cost; None where nothing was spent. requests: as many as the revenue pays at
    the cost of one, None where none cost anything. lost_in: the first of the coming months that costs more than it
    brings in while the cost grows and the revenue stays (0: the month itself does); None: not in the longest span.
    """

    revenue_pusd: int
    cost_pusd: int
    returned: Decimal | None
    requests: int | None
    lost_in: int | None

    @property
    def margin_pusd(self) -> int:
        return self.revenue_pusd - self.cost_pusd

    @classmethod
    def of_month(cls, revenue_pusd: int, cost_pusd: int, requests: int, growth: Decimal) -> "BreakEven":
        """Compare a revenue with the cost of a month's requests; the months after it cost more by growth."""
        costs = [cost_pusd, *project(cost_pusd, growth, max(SPANS))]
        lost = next((n for n, cost in enumerate(costs) if cost > revenue_pusd), None)
        if cost_pusd <= 0:
            return cls(revenue_pusd, cost_pusd, None, None, lost)
        returned = _EXACT.divide(Decimal(revenue_pusd - cost_pusd), Decimal(cost_pusd)).quantize(Decimal("0.0001"))
        return cls(revenue_pusd, cost_pusd, returned, revenue_pusd * requests // cost_pusd, lost)
