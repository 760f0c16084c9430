"""What an alert rule does beside telling, in the forms in which people write it."""

from typing import Any

from proxy.config.diagnostic import SettingError
from proxy.config.on_spent import parse_rate, read_words
from proxy.config.values import PRESET_NAME
from proxy.core.stop_effect import STOP, StopEffect

WARN = "warn"
_HOW = "Write warn, stop, slow, {slow: 6/minute} or {downgrade: PRESET}."

FORMS: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "pattern": "^(warn|stop|slow(: *[0-9]{1,4}(/minute)?)?|downgrade: *[^ ]+)$"},
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


def parse_alert_action(value: object) -> str:
    """Return it as warn, stop, "slow: 6/minute" or "downgrade: cheap"; raise SettingError."""
    word, argument = read_words(value)
    if word in (WARN, STOP.name) and argument is None:
        return word
    if word == "slow":
        return StopEffect("slow", a_minute=parse_rate(argument)).text
    if word == "downgrade":
        if argument is not None and PRESET_NAME.fullmatch(argument):
            return StopEffect("downgrade", argument).text
        raise SettingError(f"must name a preset after downgrade. {_HOW}", show=False)
    raise SettingError(f"must be warn, stop, slow or a downgrade. {_HOW}", show=False)


def effect_of(action: str) -> StopEffect | None:
    """Return what an action does to requests, of a text that parse_alert_action() returned; None: it only warns."""
    word, argument = read_words(action)
    if word == WARN:
        return None
    if word == "slow":
        return StopEffect("slow", a_minute=parse_rate(argument))
    return STOP if argument is None else StopEffect("downgrade", argument)
