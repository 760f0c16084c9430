"""What a month comes to and what follows, in sentences for people: the same in text and HTML."""

from collections.abc import Iterator
from decimal import Decimal

from proxy.core.money import PUSD_PER_USD
from proxy.policy.exchange_rates import plain_text
from proxy.storage.finance import TOO_YOUNG, MonthReport, month_title

_NONE_YET = f"none yet: {TOO_YOUNG}"
_CENT_PUSD = PUSD_PER_USD // 100


def outlook_lines(report: MonthReport) -> Iterator[tuple[str, str]]:
    """Yield a name and what it comes to; estimates are to the cent, or to what is not nothing."""
    outlook, projection = report.outlook, report.outlook.projection
    if outlook.day_pusd is not None:
        yield "Run-rate", f"{about(outlook.day_pusd)} a day (mean of {_days(outlook.rate_days)})"
    if projection is None:
        yield "Forecast", _NONE_YET
        return
    if outlook.forecast_pusd is not None:
        yield "Forecast", f"{about(outlook.forecast_pusd)} by the end of {month_title(report.question.name)}"
    pace = growth_text(projection.growth)
    for months, pusd in projection.sums_pusd.items():
        yield f"Next {months} months", f"{about(pusd)} {pace}"


def break_even_lines(report: MonthReport) -> Iterator[tuple[str, str]]:
    """Yield the same of a revenue; nothing where none was named."""
    found, question = report.outlook.break_even, report.question
    if found is None:
        if question.revenue_pusd is not None:
            yield "Return", _NONE_YET
        return
    part = "" if question.part is None else f" of {question.part[0]} {question.part[1]}"
    yield "Revenue", f"{about(found.revenue_pusd)} a month"
    yield "Cost", f"{about(found.cost_pusd)} a month{part}"
    yield "Margin", f"{about(found.margin_pusd)} a month"
    if found.returned is not None:
        yield "Return", f"{found.returned:.0%} of the cost"
    if found.requests is not None:
        yield "Break-even", f"at {found.requests} requests a month, at what one costs now"
    if found.lost_in is None:
        yield "Pays for itself", f"for the next 36 months {growth_text(question.growth)}"
    elif found.lost_in == 0:
        yield "Pays for itself", "not now: the cost is above the revenue"
    else:
        months = f"{found.lost_in} month{'s' if found.lost_in != 1 else ''}"
        yield "Pays for itself", f"until the cost passes the revenue in {months}"


def growth_text(growth: Decimal) -> str:
    """Return a pace for people."""
    if growth == 1:
        return "if each is as this one"
    percent = plain_text((abs(growth - 1) * 100).quantize(Decimal("0.0001")))
    return f"if each costs {percent}% {'more' if growth > 1 else 'less'} than the one before"


def about(pusd: int) -> str:
    """Return an amount to the cent; one that would be nothing then, to two digits."""
    sign, pusd = ("-", -pusd) if pusd < 0 else ("", pusd)
    if pusd and pusd < _CENT_PUSD:
        usd = Decimal(pusd) / PUSD_PER_USD
        return f"{sign}${round(usd, 1 - usd.adjusted()):f}"
    cents = (pusd + _CENT_PUSD // 2) // _CENT_PUSD
    return f"{sign}${cents // 100}.{cents % 100:02}"


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"
