"""Costs are exact to the pico-dollar from the literal on the wire; what is doubtful is no cost."""

import json
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.money import MAX_PUSD
from proxy.wire.amount import read_exactly
from proxy.wire.token_classes import NONSENSE
from proxy.wire.usage import ExtraCounts, Usage, read_usage

TOKENS = '"prompt_tokens":12,"completion_tokens":5'


def read(usage: str, before: str = "", after: str = "") -> Usage | None:
    raw = f'{{{before}"usage":{{{usage}}}{after}}}'.encode()
    try:
        return read_usage(orjson.loads(raw), raw)
    except orjson.JSONDecodeError:
        return read_usage(read_exactly(raw), raw)


def cost(literal: str) -> tuple[int | None, bool, str | None]:
    usage = read(f'{TOKENS},"cost":{literal}')
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (12, 5)
    return usage.cost_pusd, usage.cost_exact, usage.cost_problem


@st.composite
def amounts(draw: st.DrawFn) -> str:
    """Give a decimal of at most 18 significant digits below the most that one row holds."""
    digits = draw(st.integers(0, 10**18 - 1))
    places = draw(st.integers(12, 24))
    plain = f"{Decimal(digits).scaleb(-places):f}"
    return draw(st.sampled_from([plain, f"{digits}e-{places}", f"{digits}E-{places:03}", f"{digits}.0e-{places}"]))


@given(amounts(), st.sampled_from(["", '"cost":1.5,', '"a":{"cost":[]},', '"t":"\\u00e9",']))
def test_every_decimal_is_exact(literal: str, before: str) -> None:
    usage = read(f'{TOKENS},"cost": {literal}', before)
    assert usage is not None
    exact = Decimal(literal) * 10**12
    assert usage.cost_pusd == int(exact.to_integral_value(rounding="ROUND_CEILING"))
    assert usage.cost_exact == (exact == usage.cost_pusd)
    assert usage.cost_problem is None


@pytest.mark.parametrize(
    ("literal", "pusd", "exact"),
    [
        ("0", 0, True),
        ("0.0", 0, True),
        ("-0.0", 0, True),
        ("1", 10**12, True),
        ("0.000168", 168_000_000, True),
        ("1.68e-4", 168_000_000, True),
        ("8.613E-06", 8_613_000, True),
        ("0.1234567890123456", 123_456_789_013, False),
        ("0.0000000000001", 1, False),
        ("1e-400", 1, False),
        ("9223372.036854775807", MAX_PUSD, True),
    ],
)
def test_a_cost_is_read_from_its_literal(literal: str, pusd: int, exact: bool) -> None:
    assert cost(literal) == (pusd, exact, None)


@pytest.mark.parametrize(
    ("literal", "problem"),
    [
        ("-0.01", "negative"),
        ("-1", "negative"),
        ('"0.01"', "string"),
        ("true", "not_a_number"),
        ("[0.01]", "not_a_number"),
        ("{}", "not_a_number"),
        ("NaN", "not_a_number"),
        ("Infinity", "not_a_number"),
        ("1e400", "too_large"),
        ("9223372.036854775808", "too_large"),
        ("18446744073709551616", "too_large"),
        ("0." + "1" * 80, "too_many_digits"),
        ("1" * 80, "too_many_digits"),
    ],
)
def test_a_doubtful_cost_is_none_and_says_why(literal: str, problem: str) -> None:
    assert cost(literal) == (None, True, problem)


def test_no_cost_is_no_problem() -> None:
    assert cost("null") == (None, True, None)
    assert read(TOKENS) == Usage(12, 5, None, None, None, True, None, None, None)


# One double stands for all of these, so that only the right literal gives the right pico-dollars.
RIGHT, DECOY = "123456.789012345678", "123456.789012345671"


@pytest.mark.parametrize(
    ("usage", "before", "after"),
    [
        (f'"cost":{RIGHT}', f'"x":{{"cost":{DECOY}}},', ""),
        (f'"cost":{RIGHT}', "", f',"x":{{"cost":{DECOY}}}'),
        (f'"\\u0063ost":{RIGHT}', f'"x":{{"cost":{DECOY}}},', ""),
        (f'"cost":{DECOY},"cost":{RIGHT}', "", ""),
        (f'"cost":{RIGHT}', f'"x":"\\"cost\\":{DECOY}",', ""),
        (f'"cost" \n:\t{RIGHT}', "", ""),
    ],
)
def test_another_cost_nearby_is_not_taken_for_it(usage: str, before: str, after: str) -> None:
    assert float(RIGHT) == float(DECOY)
    found = read(f"{TOKENS},{usage}", before, after)
    assert found is not None
    assert (found.cost_pusd, found.cost_exact) == (123_456_789_012_345_678, True)


def byok(fee: str, upstream: str, is_byok: str = "true") -> Usage:
    found = read(f'{TOKENS},"cost":{fee},"is_byok":{is_byok},"cost_details":{{"upstream_inference_cost":{upstream}}}')
    assert found is not None
    return found


def test_the_bill_behind_is_added_only_with_the_own_key() -> None:
    own = byok("0.0000001", "0.00000000000251")
    assert (own.cost_pusd, own.cost_exact, own.upstream_pusd, own.is_byok) == (100_003, False, 3, True)
    for told, is_byok in (("false", False), ("null", None), ("1", None), ('"true"', None)):
        lent = byok("0.0000001", "0.5", told)
        assert (lent.cost_pusd, lent.cost_exact, lent.upstream_pusd, lent.is_byok) == (
            100_000,
            True,
            500_000_000_000,
            is_byok,
        )


@given(amounts(), amounts(), st.booleans())
def test_what_the_provider_behind_charges_is_exact_too(fee: str, other: str, is_same: bool) -> None:
    """The same amount in another form counts as the same; it is no part of the cost."""
    upstream = f"{Decimal(fee):f}" if is_same else other
    lent = byok(fee, upstream, "false")
    expected = int((Decimal(upstream) * 10**12).to_integral_value(rounding="ROUND_CEILING"))
    assert lent.upstream_pusd is not None
    # two literals of one double can be some digits apart
    assert abs(lent.upstream_pusd - expected) <= max(1, expected >> 52)
    assert lent.cost_pusd == int((Decimal(fee) * 10**12).to_integral_value(rounding="ROUND_CEILING"))


def test_who_paid_is_not_made_up() -> None:
    usage = read(f'{TOKENS},"cost":0.5')
    assert usage is not None
    assert (usage.is_byok, usage.upstream_pusd) == (None, None)


@pytest.mark.parametrize(
    ("fee", "upstream", "problem"),
    [
        ("0", "null", "upstream_missing"),
        ("0", "-1", "negative"),
        ("0", '"1"', "string"),
        ("9223372", "9223372", "too_large"),
        ("-1", "0.5", "negative"),
        ("null", "0.5", None),
    ],
)
def test_half_a_bill_is_no_cost(fee: str, upstream: str, problem: str | None) -> None:
    found = byok(fee, upstream)
    assert (found.cost_pusd, found.cost_problem) == (None, problem)


@pytest.mark.parametrize("count", ["-1", "1.5", '"five"', "true", "9007199254740993", "1" * 50, "1e400", "NaN"])
def test_an_absurd_count_is_none_and_spoils_nothing_else(count: str) -> None:
    """It is flagged: what stands there was meant to be a count."""
    parts = f'"prompt_tokens_details":{{"cached_tokens":{count}}}'
    parts += f',"completion_tokens_details":{{"reasoning_tokens":{count}}}'
    found = read(f'"prompt_tokens":7,"completion_tokens":{count},"cost":0.5,{parts}')
    odd = ExtraCounts(doubts=frozenset({NONSENSE}))
    assert found == Usage(7, None, None, None, 5 * 10**11, True, None, None, None, odd)


@pytest.mark.parametrize("count", ["null", "[]", "{}"])
def test_what_is_no_count_at_all_is_left_out(count: str) -> None:
    found = read(f'"prompt_tokens":7,"completion_tokens":{count},"cost":0.5')
    assert found == Usage(7, None, None, None, 5 * 10**11, True, None, None, None)


@pytest.mark.parametrize("count", ["5", "5.0", '"5"', '"5.0"', "5e0", "0.5e1", '"0.05e2"'])
def test_a_count_in_any_spelling(count: str) -> None:
    parts = f'"prompt_tokens_details":{{"cached_tokens":{count}}},"total_tokens":12'
    found = read(f'"prompt_tokens":7,"completion_tokens":{count},{parts}')
    assert found == Usage(7, 5, 5, None, None, True, None, None, None)


def test_parts_of_the_counts() -> None:
    found = read(
        '"prompt_tokens":9007199254740990,"completion_tokens":2,"total_tokens":9007199254740992,"cost_details":7,'
        '"prompt_tokens_details":{"cached_tokens":3},"completion_tokens_details":{"reasoning_tokens":2}'
    )
    assert found == Usage(2**53 - 2, 2, 3, 2, None, True, None, None, None)


@pytest.mark.parametrize("usage", [None, {}, [], "usage", 5, {"prompt_tokens": "x"}, {"cost": None}])
def test_what_says_nothing_is_no_usage(usage: Any) -> None:
    raw = json.dumps({"usage": usage}).encode()
    assert read_usage(orjson.loads(raw), raw) is None
    assert read_usage({}, b"{}") is None
