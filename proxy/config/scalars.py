"""What a scalar of the file means, by the rules of YAML 1.2 (its core schema, narrowed to what is needed).

PyYAML follows YAML 1.1, where ``12:30`` is 750 and ``on`` is true. Here only true/false, null, decimal
integers and decimal fractions are anything but text, and a fraction is a Decimal, so that ``2.50`` stays
exactly that.
"""

import re
from decimal import Decimal

NULLS = frozenset({"", "~", "null", "Null", "NULL"})
FLAGS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
# A leading zero makes text (a door code is no number); 30 digits and two of exponent are beyond any setting,
# and keep a hostile file from building a huge integer.
WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,29})", re.ASCII)
NUMBER = re.compile(
    r"[-+]?(?:(?:0|[1-9][0-9]{0,29})(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][-+]?[0-9]{1,2})?", re.ASCII
)


class PlainText(str):
    """Unquoted text of the file, which may be a number, a flag or null."""

    __slots__ = ()


def typed(text: str) -> bool | int | Decimal | str | None:
    """Return the value of an unquoted scalar."""
    if text in NULLS:
        return None
    if text in FLAGS:
        return FLAGS[text]
    if WHOLE.fullmatch(text):
        return int(text)
    if NUMBER.fullmatch(text):
        return Decimal(text)
    return text
