"""on_spent of a limit, in the forms in which people write it: refuse, slow, {downgrade: cheap}, {slow: 6/minute}."""

import re
from collections.abc import Mapping
from typing import Any

from proxy.config.diagnostic import SettingError
from proxy.config.values import PRESET_NAME
from proxy.core.on_spent import REFUSE, OnSpent

A_MINUTE = 6  # slow without a figure: an answer every ten seconds keeps a person at work, and a loop from spending much
A_MINUTE_MAX = 600
_RATE = re.compile(r"([0-9]{1,4})(?:/minute)?", re.ASCII)
_TEXT = re.compile(r"([a-z]+)(?:\s*:\s*(\S+))?", re.ASCII)
_HOW = "Write refuse, slow, {slow: 6/minute} or {downgrade: PRESET}."

FORMS: dict[str, Any] = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "object",
            "additionalProperties": False,
            "minProperties": 1,
            "maxProperties": 1,
            "properties": {"downgrade": {"type": "string"}, "slow": {"type": ["string", "integer"]}},
        },
    ]
}
"""Its JSON Schema."""


def parse_on_spent(value: object) -> OnSpent:
    """Read it in any of its forms; raise SettingError with a text that shows how to write it."""
    if isinstance(value, OnSpent):
        return value
    word, argument = read_words(value)
    if word == "refuse" and argument is None:
        return REFUSE
    if word == "slow":
        return OnSpent("slow", a_minute=parse_rate(argument))
    if word == "downgrade":
        if argument is not None and PRESET_NAME.fullmatch(argument):
            return OnSpent("downgrade", argument)
        raise SettingError(f"must name a preset after downgrade. {_HOW}", show=False)
    raise SettingError(f"must be refuse, slow or a downgrade. {_HOW}", show=False)


def read_words(value: object) -> tuple[str, str | None]:
    """Return the word that says what follows and what belongs to it; "" for a value of another form."""
    if isinstance(value, Mapping) and len(value) == 1:
        ((word, argument),) = value.items()
        if word in ("downgrade", "slow") and argument is not None:
            return str(word), str(argument)
    elif isinstance(value, str) and (found := _TEXT.fullmatch(value.strip())) is not None:
        return found[1], found[2]
    return "", None


def parse_rate(text: str | None) -> int:
    """Return requests a minute of a text like 6/minute, A_MINUTE without one; raises SettingError."""
    rate = _RATE.fullmatch(str(A_MINUTE) if text is None else text)
    if rate is None or not 1 <= int(rate[1]) <= A_MINUTE_MAX:
        raise SettingError(f"slow must be 1 to {A_MINUTE_MAX} requests a minute like 6/minute", show=False)
    return int(rate[1])
