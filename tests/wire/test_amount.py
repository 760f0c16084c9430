"""Amounts of money in JSON, by their literals and never by way of a float."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.money import MAX_PUSD
from proxy.wire.amount import NO_AMOUNT, CostProblem, amount_of, literal_of, read_amount, read_exactly, with_upstream

PATH = ("usage", "cost")


def read(literal: str, *, quoted: bool = False) -> tuple[int | None, bool, CostProblem | None]:
    raw = f'{{"usage": {{"cost": {literal}}}}}'.encode()
    return read_amount(json.loads(raw), raw, PATH, quoted=quoted)


@pytest.mark.parametrize(
    ("literal", "wanted"),
    [
        ("0.000123456789", (123_456_789, True, None)),
        ("1.23456789e-4", (123_456_789, True, None)),
        ("0.0001234567890001", (123_456_790, False, None)),  # finer than a pico-USD: rounded up, and said so
        ("9007199.254740993", (9_007_199_254_740_993_000, True, None)),  # a float would lose the last digit
        ("2", (2 * 10**12, True, None)),
        ("null", NO_AMOUNT),
        ('"0.5"', (None, True, "string")),
        ("true", (None, True, "not_a_number")),
        ("[]", (None, True, "not_a_number")),
        ("-0.5", (None, True, "negative")),
        ("1e99", (None, True, "too_large")),
    ],
)
def test_an_amount(literal: str, wanted: tuple[int | None, bool, CostProblem | None]) -> None:
    assert read(literal) == wanted


def test_a_decimal_in_quotes_counts_where_it_may() -> None:
    assert read('"0.5"', quoted=True) == (5 * 10**11, True, None)
    assert read('"a lot"', quoted=True)[0] is None


def test_the_cost_is_the_one_at_the_path() -> None:
    """Another key of the same name, or one behind an escape, is never taken for it."""
    raw = b'{"text": "\\u0022cost\\u0022: 9.5", "cost": 7.5, "usage": {"cost": 0.25}}'
    assert read_amount(json.loads(raw), raw, PATH) == (25 * 10**10, True, None)
    assert literal_of(b'{"cost": 1.5, "x": {"cost": 2.5}}', b'"cost"', 2.5) is None
    assert literal_of(b'{"cost" : 1.50}', b'"cost"', 1.5) == "1.50"
    assert literal_of(b'{"cost": 1.5}', b'"cost"', 2.5) is None


@given(st.decimals(0, 9_000_000, allow_nan=False, places=12))
def test_every_decimal_is_read_to_its_last_digit(value: Decimal) -> None:
    assert read(f"{value:f}") == (int(value.scaleb(12)), True, None)


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_any_bytes_can_be_read(raw: bytes) -> None:
    read_exactly(raw)


def test_a_fee_and_what_the_provider_behind_bills() -> None:
    assert with_upstream((3, True, None), (4, False, None)) == (7, False, None)
    assert with_upstream((3, True, None), NO_AMOUNT) == (None, True, "upstream_missing")
    assert with_upstream((3, True, None), (None, True, "negative")) == (None, True, "negative")
    assert with_upstream((None, True, "string"), (4, True, None)) == (None, True, "string")
    assert with_upstream((MAX_PUSD, True, None), (1, True, None)) == (None, True, "too_large")
    assert amount_of("NaN") == (None, True, "not_a_number")
