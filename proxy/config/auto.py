"""Settings of auto, the virtual model that picks one of several for each request."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

from proxy.config.block import Block, check_field, setting
from proxy.config.check import EditorSchema, Reader
from proxy.config.diagnostic import SettingError
from proxy.config.values import Number, Text, Whole, as_list

_SCORE_MAX = 100


def _ordered(value: object) -> object:
    """Return the short form, a list of names with the best first, as names with scores."""
    if not isinstance(value, list | tuple):
        return value
    if not all(isinstance(one, str) for one in value):
        raise SettingError("must be a list of names, the best first, or names with scores from 0 to 100")
    count = len(value)
    return {str(name): Decimal(_SCORE_MAX * (count - n)) / count for n, name in enumerate(value)}


_QUALITY: dict[str, Any] = {
    "anyOf": [
        {"type": "array", "items": {"type": "string"}},
        {"type": "object", "additionalProperties": {"type": "number", "minimum": 0}},
    ]
}
Quality = Annotated[dict[Text, Number], Reader(_ordered), EditorSchema(_QUALITY)]


class AutoWeights(Block):
    """How much each kind of figure counts."""

    price: Number = setting(
        Decimal(1), "One point for each doubling of the price of the job.", "All alike.", ge=0, le=100
    )
    speed: Number = setting(
        Decimal(1), "One point for each doubling of the time to the first content.", "All alike.", ge=0, le=100
    )
    quality: Number = setting(
        Decimal(1), "Four points between the best of quality and what it lacks.", "All alike.", ge=0, le=100
    )


class AutoSettings(Block):
    """The virtual model auto: for each request the models that can do the job, the best of them first."""

    models: Annotated[tuple[Text, ...], Reader(as_list)] = setting(
        (),
        "Models that it may pick, by provider/model, or by model for the first provider; * stands for any text.",
        "None: there is no model auto.",
    )
    quality: Quality = setting(
        {},
        "What you think of them: names or patterns, the best first, or with scores from 0 to 100; the first that fits"
        " counts.",
        "Nothing: price, speed and errors decide.",
    )
    targets_max: Whole = setting(
        3, "How many of them a request may go to, one after the other.", "Two may fail.", ge=1, le=20
    )
    weights: AutoWeights = setting(AutoWeights, "How much price, speed and quality count.")

    @check_field("quality")
    @classmethod
    def _is_a_score(cls, quality: Mapping[str, Decimal]) -> Mapping[str, Decimal]:
        for name, score in quality.items():
            if not 0 <= score <= _SCORE_MAX:
                raise SettingError(f"must be a score from 0 to {_SCORE_MAX}", key=name)
        return quality

    @property
    def scores(self) -> tuple[tuple[str, float], ...]:
        """Return the quality of each name or pattern, 0 to 1, in the order in which they are tried."""
        return tuple((name, float(score) / _SCORE_MAX) for name, score in self.quality.items())
