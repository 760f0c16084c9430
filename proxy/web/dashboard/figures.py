"""How figures are written for people: money, counts, tokens, shares, lengths of time, moments in a zone.

What is rounded for reading has its exact value beside it, in the title of the element.
"""

from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import Final
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from proxy.core.money import pusd_to_usd
from proxy.policy.period import LAST_MS

_CENT = Decimal("0.01")
_LARGE = Context(prec=120)  # a projection may have more digits than the 28 that are usual
_FIGURES = 3  # of an amount below a dollar
_THOUSAND, _MILLION, _BILLION = 1_000, 1_000_000, 1_000_000_000
NOTHING = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"
_LAST: Final = datetime.fromtimestamp(LAST_MS // 1000, UTC)  # that every zone can show; later is as good as never


def money_text(pusd: float | None) -> str:
    """Return an amount for reading: $1,204.50, and below a dollar as many decimals as three figures take."""
    if pusd is None:
        return NOTHING
    sign, usd = _MINUS if pusd < 0 else "", Decimal(abs(round(pusd))).scaleb(-12)
    if usd >= 1 or not usd:
        return f"{sign}${usd.quantize(_CENT, context=_LARGE):,}"
    places = max(2, _FIGURES - 1 - usd.adjusted())
    text = f"{usd:.{places}f}"
    whole, _, fraction = text.partition(".")
    return f"{sign}${whole}.{fraction[:2]}{fraction[2:].rstrip('0')}"


def money(pusd: int | None) -> Markup:
    """Return the element of an amount, with the exact one as its value and title."""
    if pusd is None:
        return Markup.escape(NOTHING)
    exact = pusd_to_usd(pusd)
    text = f'<data class="money" value="{exact}" title="${exact}">{money_text(pusd)}</data>'
    return Markup(text)  # noqa: S704 - of digits


def count_text(number: float | None) -> str:
    """Return a count with commas, or a mean with one decimal."""
    if number is None:
        return NOTHING
    return f"{number:,}" if isinstance(number, int) else f"{number:,.1f}"


def short_count_text(number: int | None) -> str:
    """Return a large count in three figures: 91.2 M, 18.3 k."""
    if number is None:
        return NOTHING
    for size, letter in ((_BILLION, "G"), (_MILLION, "M"), (_THOUSAND, "k")):
        if abs(number) >= size:
            value = number / size
            return f"{value:.0f} {letter}" if abs(value) >= 100 else f"{value:.1f} {letter}"
    return f"{number}"


def share_text(share: float | Decimal | None) -> str:
    """Return a share of one as a percentage; a small one that is not nothing is no 0 %."""
    if share is None:
        return NOTHING
    percent = share * 100
    if 0 < percent < Decimal("0.1"):
        return "< 0.1 %"
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.1f} %"


def duration_text(milliseconds: float | None) -> str:
    """Return a length of time: 738 ms, 12.4 s, 5 min, 7 h, 10 d."""
    if milliseconds is None:
        return NOTHING
    seconds = milliseconds / 1000
    if seconds < 1:
        return f"{milliseconds:.1f} ms" if 0 < milliseconds < 10 else f"{milliseconds:.0f} ms"
    if seconds < 100:
        return f"{seconds:.1f} s"
    for size, word in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size * 2 or (size == 60):
            return f"{seconds / size:.0f} {word}"
    raise AssertionError("every length has a word")


def read_at(moment: str | int) -> datetime:
    """Return a moment of the operator's API: ISO-8601 text, or milliseconds since 1970."""
    if isinstance(moment, int):
        return datetime.fromtimestamp(min(moment, LAST_MS) / 1000, UTC)
    return min(datetime.fromisoformat(moment), _LAST)


def time_text(moment: str | int | None, zone: ZoneInfo) -> str:
    """Return a moment in a zone, to the second."""
    return NOTHING if moment is None else f"{read_at(moment).astimezone(zone):%Y-%m-%d %H:%M:%S}"


def time_element(moment: str | int | None, zone: ZoneInfo) -> Markup:
    """Return the element of a moment, with its zone in the title."""
    if moment is None:
        return Markup.escape(NOTHING)
    at = read_at(moment)
    here = f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S}"
    text = f'<time datetime="{at.astimezone(UTC).isoformat()}" title="{here} {escape(zone.key)}">{here}</time>'
    return Markup(text)  # noqa: S704 - of digits, and of a name that is escaped
