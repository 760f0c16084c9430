"""Limits as pages write them: used, set aside for what runs, and left are three figures, as in tollkeeper limits."""

from typing import Any

import pytest

from proxy.web.dashboard.figures import NOTHING
from proxy.web.dashboard.limit_gauges import limit_gauges

USD = 10**12


def entry(unit: str, used: int | None, reserved: int | None, amount: int) -> dict[str, Any]:
    left = None if used is None else amount - used - (reserved or 0)
    figures = {"amount": amount, "used": used, "reserved": reserved, "remaining": left}
    return {
        "id": "l1",
        "scope": "user",
        "name": "bo",
        "kind": "cost" if unit else "requests",
        "limit": "$8/day" if unit else "60/minute",
        "amount_pusd": None,
        **{f"{name}{unit}": value for name, value in figures.items()},
        "resets_at": None,
        "source": "database",
        "mode": "hard",
        "models": [],
        "on_spent": "refuse",
    }


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (entry("_pusd", 2 * USD, USD // 2, 8 * USD), "$2.00 used, $0.50 set aside, $5.50 left"),
        (entry("_pusd", 2 * USD, 0, 8 * USD), "$2.00 used, $6.00 left"),
        (entry("", 7, 2, 60), "7 used, 2 set aside, 51 left"),
        (entry("", None, None, 60), f"{NOTHING} used, {NOTHING} left"),
    ],
)
def test_what_is_used_and_set_aside_are_two_figures(limit: dict[str, Any], words: str) -> None:
    [gauge] = limit_gauges([limit])
    assert gauge.words == words
    assert gauge.is_known is (NOTHING not in words)
