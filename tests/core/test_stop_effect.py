"""What becomes of requests that a stop concerns, as people write it."""

import pytest

from proxy.config.alert_action import effect_of, parse_alert_action
from proxy.core.stop_effect import STOP, StopEffect


@pytest.mark.parametrize(
    ("written", "text", "effect"),
    [
        ("warn", "warn", None),
        (" stop ", "stop", STOP),
        ("slow", "slow: 6/minute", StopEffect("slow", a_minute=6)),
        ({"slow": 12}, "slow: 12/minute", StopEffect("slow", a_minute=12)),
        ("slow: 600/minute", "slow: 600/minute", StopEffect("slow", a_minute=600)),
        ({"downgrade": "cheap"}, "downgrade: cheap", StopEffect("downgrade", "cheap")),
        ("downgrade:cheap", "downgrade: cheap", StopEffect("downgrade", "cheap")),
    ],
)
def test_an_effect_reads_as_it_is_written(written: object, text: str, effect: StopEffect | None) -> None:
    assert parse_alert_action(written) == text
    assert parse_alert_action(text) == text
    assert effect_of(text) == effect
    assert effect is None or effect.text == text
