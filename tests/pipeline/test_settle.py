"""What an attempt cost by what was heard of it, where nothing but the figures decides."""

import pytest

from proxy.pipeline.settlement.settle import settle, with_request_price
from proxy.pipeline.values.attempt_result import AttemptResult
from proxy.pipeline.values.settlement import CRASH, FEE, OVER, UNKNOWN, PricedUsage, Settlement
from proxy.providers.openai import OpenAIDialect
from proxy.wire.usage import Usage

RATE = 1000  # pico-USD a token, in and out
PLAIN, TOLD, OFF = OpenAIDialect(), OpenAIDialect("usage.cost"), OpenAIDialect(takes_cost=False)


def _price(usage: Usage) -> PricedUsage | None:
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    return PricedUsage((usage.input_tokens + usage.output_tokens) * RATE)


def _none(_: Usage) -> None:
    return None


def _usage(output_tokens: int | None = 5, cost_pusd: int | None = None) -> Usage:
    return Usage(10, output_tokens, None, None, cost_pusd, True, None, False, None)


def _heard(usage: Usage | None, *, content: bool = True) -> AttemptResult:
    return AttemptResult(
        dispatched=True, status=200, usage=usage, content_seen=content, complete=True, finish_reason="stop"
    )


def _told(verdict: Settlement) -> tuple[int | None, str, set[str]]:
    return verdict.cost_pusd, verdict.cost_source, set(verdict.flags)


def test_a_price_goes_before_a_cost_that_nobody_configured() -> None:
    assert _told(settle(_heard(_usage(cost_pusd=77)), PLAIN, 10**6, _price)) == (15_000, "price", set())
    assert _told(settle(_heard(_usage(cost_pusd=77)), PLAIN, None, _none)) == (77, "provider", set())
    assert _told(settle(_heard(_usage(cost_pusd=77)), OFF, None, _none)) == (None, "none", {"cost_unknown"})


def test_a_cost_of_a_field_goes_before_a_price() -> None:
    assert _told(settle(_heard(_usage(cost_pusd=77)), TOLD, 10**6, _price)) == (77, "provider", set())
    assert _told(settle(_heard(_usage()), TOLD, 10**6, _price)) == (15_000, "price", {"cost_missing"})


def test_a_cost_of_zero() -> None:
    """It proves nothing where a price says otherwise, or where nobody said that costs are told."""
    zero = _heard(_usage(cost_pusd=0))
    assert _told(settle(zero, TOLD, 10**6, _price)) == (15_000, "price", {"cost_doubtful"})
    assert _told(settle(zero, TOLD, None, _none)) == (0, "provider", set())
    assert _told(settle(zero, PLAIN, None, _none)) == (None, "none", {"cost_unknown"})


def test_a_usage_that_is_not_final_is_the_least() -> None:
    """The worst case where one was set aside; what it says where that is more, or where nothing was."""
    heard = _heard(_usage())
    heard.usage_is_open = True
    flags = {"usage_not_final"}
    assert _told(settle(heard, PLAIN, 10**6, _price)) == (10**6, "estimate", flags)
    assert _told(settle(heard, PLAIN, 14_000, _price)) == (15_000, "estimate", flags | {"over_reservation"})
    assert _told(settle(heard, PLAIN, None, _price)) == (15_000, "estimate", flags)
    heard.least_tokens = 300
    assert _told(settle(heard, PLAIN, None, _price)) == (310_000, "estimate", flags)


def test_a_cost_stands_where_only_the_counts_are_wrong() -> None:
    assert _told(settle(_heard(_usage(0, 77)), TOLD, 10**6, _price)) == (77, "provider", {"usage_zero"})


def test_a_failure_without_anything_is_free() -> None:
    """No content and no count; one that ended by itself may have thought, and is not."""
    for usage in (None, Usage(0, 0, None, None, None, True, None, False, None)):
        failed = _heard(usage, content=False)
        failed.failed = True
        assert settle(failed, PLAIN, 10**6, _price).state == "released"
    assert _told(settle(_heard(None, content=False), PLAIN, 10**6, _price)) == (10**6, "estimate", {"usage_missing"})
    assert _told(settle(_heard(_usage(0), content=False), PLAIN, 10**6, _price)) == (10_000, "price", set())


@pytest.mark.parametrize(
    ("settlement", "reserved_pusd", "expected"),
    [
        (Settlement("settled", 7, "provider", frozenset()), 100, (17, "provider", {FEE})),
        (Settlement("settled", 0, "provider", frozenset()), 100, (10, "provider", {FEE})),
        (Settlement("settled", 7, "generation", frozenset({CRASH})), 100, (17, "generation", {CRASH, FEE})),
        (Settlement("settled", 95, "provider", frozenset()), 100, (105, "provider", {OVER, FEE})),
        (Settlement("settled", 7, "price", frozenset()), 100, (7, "price", {FEE})),
        (Settlement("settled", 100, "reservation", frozenset({CRASH})), 100, (100, "reservation", {CRASH, FEE})),
        (Settlement("settled", 120, "reservation", frozenset({OVER})), 100, (130, "reservation", {OVER, FEE})),
        (Settlement("settled", None, "none", frozenset({UNKNOWN})), None, (10, "price", {UNKNOWN, FEE})),
        (Settlement("released", 0, "none", frozenset()), 100, (0, "none", set())),
        (Settlement("pending", None, "none", frozenset()), 100, (None, "none", set())),
    ],
)
def test_the_price_of_a_request_comes_on_top_of_what_does_not_hold_it(
    settlement: Settlement, reserved_pusd: int | None, expected: tuple[int | None, str, set[str]]
) -> None:
    found = with_request_price(settlement, 10, reserved_pusd)
    assert (found.cost_pusd, found.cost_source, set(found.flags)) == expected
    assert with_request_price(settlement, 0, reserved_pusd) == settlement
