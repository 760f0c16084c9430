"""The reference rates of the European Central Bank, as it publishes them: what 1 EUR costs, by day and currency.

Its XML (eurofxref-daily.xml, -hist-90d.xml, -hist.xml) and its CSV (eurofxref.csv, eurofxref-hist.csv) are read.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Context, Decimal, InvalidOperation

_TEN_DIGITS = Context(prec=10)  # of a rate by way of the euro; those that are published have six
# compiled when first wanted
_DAY = r"""(?a)<Cube\s+time=["'](\d{4}-\d\d-\d\d)["']\s*>"""
_RATE = r"""(?a)<Cube\s+currency=["']([A-Z]{3})["']\s+rate=["']([0-9.]{1,20})["']\s*/>"""
_BOUNDS = Decimal("1e-9"), Decimal("1e9")
_RATES_MAX = 100_000  # the whole history since 1999 is some 7,000 days


class EcbRatesError(ValueError):
    """The text is no list of reference rates, or has none for the currency; the message is a sentence for people."""


def read_usd_rates(text: str, code: str) -> dict[date, Decimal]:
    """Return what 1 USD cost in a currency on each day of the text; raises EcbRatesError.

    Both rates are by the euro; their quotient has ten digits. A day without one of them is left out.
    """
    if code == "USD":
        raise EcbRatesError("no rates are needed for USD")
    found: dict[date, Decimal] = {}
    for day, rates in _days(text.removeprefix("\ufeff").lstrip()):
        usd, own = rates.get("USD"), Decimal(1) if code == "EUR" else rates.get(code)
        if usd and own:
            found[day] = _TEN_DIGITS.divide(own, usd)
        if len(found) > _RATES_MAX:
            raise EcbRatesError(f"it has rates of more than {_RATES_MAX} days")
    if not found:
        raise EcbRatesError(f"it has no rates of USD and {code} in the form of the ECB's XML or CSV")
    return found


def _days(text: str) -> Iterator[tuple[date, Mapping[str, Decimal]]]:
    yield from _days_of_xml(text) if text.startswith("<") else _days_of_csv(text)


def _days_of_xml(text: str) -> Iterator[tuple[date, Mapping[str, Decimal]]]:
    """Read the two elements that matter, and no document type or entity: a text from outside can ask nothing of us."""
    pieces = re.split(_DAY, text)
    for day, rates in zip(pieces[1::2], pieces[2::2], strict=True):
        yield _date(day, "%Y-%m-%d"), {code: _rate(rate) for code, rate in re.findall(_RATE, rates)}


def _days_of_csv(text: str) -> Iterator[tuple[date, Mapping[str, Decimal]]]:
    lines = _lines(text)
    head = [name.strip() for name in next(lines, [])]
    if head[:1] != ["Date"]:
        return
    for line in lines:
        if len(line) > 1:
            known = zip(head[1:], (cell.strip() for cell in line[1:]), strict=False)
            form = "%Y-%m-%d" if "-" in line[0] else "%d %B %Y"
            yield _date(line[0].strip(), form), {name: _rate(cell) for name, cell in known if cell not in ("", "N/A")}


def _lines(text: str) -> Iterator[list[str]]:
    import csv  # noqa: PLC0415 - few have such a file

    try:
        yield from csv.reader(text.splitlines(), skipinitialspace=True)
    except csv.Error as error:
        raise EcbRatesError(f"it cannot be read as CSV: {error}") from None


def _date(text: str, form: str) -> date:
    try:
        return datetime.strptime(text, form).date()  # noqa: DTZ007 - a date has no zone
    except ValueError:
        raise EcbRatesError(f"{text[:20]!r} is not a date") from None


def _rate(text: str) -> Decimal:
    try:
        rate = Decimal(text)
    except InvalidOperation:
        raise EcbRatesError(f"{text[:20]!r} is not a rate") from None
    if not rate.is_finite() or not _BOUNDS[0] <= rate <= _BOUNDS[1]:
        raise EcbRatesError(f"{text[:20]!r} is not a rate")
    return rate
