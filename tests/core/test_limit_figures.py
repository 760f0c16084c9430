"""The figures of a refusal, in each of the shapes that errors have."""

import json

import pytest

from proxy.core.errors import CallerError, anthropic_error_body, error_body, openrouter_error_body
from proxy.core.limit_figures import LimitFigures, amount_fields

SPENT = LimitFigures(
    "user:anna", "cost", "day", "hard", ("anthropic/*",), 5 * 10**12, 4 * 10**12, 10**11, 10**12, 1_763_510_400_000, 900
)
OPEN = LimitFigures("all", "concurrency", "", "hard", (), 2, 0, 2, 1, None)


def test_money_is_decimal_text_with_an_integer_beside_it() -> None:
    assert SPENT.as_json() == {
        "scope": "user:anna",
        "kind": "cost",
        "window": "day",
        "mode": "hard",
        "models": ["anthropic/*"],
        "limit": "5",
        "limit_pusd": 5 * 10**12,
        "used": "4",
        "used_pusd": 4 * 10**12,
        "reserved": "0.1",
        "reserved_pusd": 10**11,
        "needed": "1",
        "needed_pusd": 10**12,
        "remaining": "0.9",
        "remaining_pusd": 9 * 10**11,
        "resets_at": "2025-11-19T00:00:00Z",
        "affordable_max_tokens": 900,
    }


def test_what_does_not_apply_is_null() -> None:
    shown = OPEN.as_json()
    assert (shown["limit"], shown["used"], shown["reserved"], shown["needed"], shown["remaining"]) == (2, 0, 2, 1, 0)
    assert [name for name, value in shown.items() if value is None] == [
        "window",
        "models",
        "resets_at",
        "affordable_max_tokens",
    ]


@pytest.mark.parametrize("figures", [SPENT, OPEN])
def test_every_shape_of_error_carries_them(figures: LimitFigures) -> None:
    error = CallerError(402, "insufficient_quota", "It is spent.", limit=figures)
    expected = figures.as_json()
    assert json.loads(error_body(error, "req_1"))["error"].items() >= expected.items()
    assert json.loads(anthropic_error_body(error, "req_1"))["error"].items() >= expected.items()
    assert json.loads(openrouter_error_body(error, "req_1"))["error"]["metadata"].items() >= expected.items()


@pytest.mark.parametrize("body", [error_body, anthropic_error_body, openrouter_error_body])
def test_another_error_has_none_of_them(body: object) -> None:
    assert callable(body)
    shown = json.loads(body(CallerError(400, "empty_body", "The body is empty."), None))["error"]
    assert not {"scope", "window", "remaining"} & {*shown, *shown.get("metadata", {})}


def test_counts_stand_alone() -> None:
    assert amount_fields("requests", {"limit": 3, "used": 1}, ("limit", "used")) == {"limit": 3, "used": 1}
