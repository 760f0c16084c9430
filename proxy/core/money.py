"""Money is an integer number of pico-USD (1e-12 USD); this file is the only door from text to money and back.

No arithmetic on money uses floats. What cannot be converted raises MoneyError; it never becomes 0.
"""

from decimal import ROUND_CEILING, Decimal, InvalidOperation, localcontext
from functools import lru_cache

PUSD_PER_USD = 10**12
MAX_PUSD = 2**63 - 1  # one SQLite INTEGER; 9.2 million USD
_MAX_LITERAL_CHARS = 64  # a cost of 40 digits is the provider's mistake
_WHOLE_MAX_CHARS = 6
LAST_DIGIT_PUSD = tuple(PUSD_PER_USD // 10**places for places in range(13))  # by the number of digits behind the point


class MoneyError(ValueError):
    """The text is not an amount of money that one INTEGER of pico-USD can hold."""


def usd_to_pusd(text: str) -> tuple[int, bool]:
    """Return a decimal literal in USD, such as ``0.000168`` or ``1.68e-4``, in pico-USD, and whether that is exact.

    Digits finer than a pico-USD are rounded up (an amount is never booked below what was charged), which False reports.
    Raises MoneyError for anything that is not a finite, non-negative number within MAX_PUSD.
    """
    whole, _, fraction = text.partition(".")
    if whole and len(whole) <= _WHOLE_MAX_CHARS and len(fraction) < len(LAST_DIGIT_PUSD):
        digits = whole + fraction
        if digits.isdecimal():  # nearly every cost; needs no Decimal
            return int(digits) * LAST_DIGIT_PUSD[len(fraction)], True
    if len(text) > _MAX_LITERAL_CHARS:
        raise MoneyError(f"a money literal of {len(text)} characters; at most {_MAX_LITERAL_CHARS} are read")
    if "_" in text:  # Decimal reads 1_0 as 10
        raise MoneyError("not a decimal number")
    try:
        usd = Decimal(text)
    except InvalidOperation:
        raise MoneyError("not a decimal number") from None
    if not usd.is_finite() or usd < 0:
        raise MoneyError("not a finite, non-negative number")
    if usd and usd.adjusted() > 7:  # keeps 1e999999 from building a huge integer; 9.2e6 USD is the most a row holds
        raise MoneyError("more than one ledger row can hold")
    with localcontext() as context:
        context.prec = _MAX_LITERAL_CHARS + 20
        exact = usd.scaleb(12)
        if exact and exact.adjusted() < 0:
            return 1, False
        pusd = int(exact.to_integral_value(rounding=ROUND_CEILING))
    if pusd > MAX_PUSD:
        raise MoneyError("more than one ledger row can hold")
    return pusd, pusd == exact


def usd_text(pusd: int) -> str:
    """Return what pusd_to_usd() does, of an amount that hardly comes again."""
    if pusd < 0:
        return f"-{usd_text(-pusd)}"
    digits = str(pusd)
    if len(digits) <= 12:
        digits = digits.zfill(13)
    whole, parts = digits[:-12], digits[-12:].rstrip("0")
    return f"{whole}.{parts}" if parts else whole


@lru_cache(maxsize=1024)  # the same cost is written for the client, and again for the log
def pusd_to_usd(pusd: int) -> str:
    """Return the exact decimal text in USD, without exponent or trailing zeros: 168000000 -> '0.000168'."""
    return usd_text(pusd)
