"""Money is exact, in and out, and never rounded in the caller's favour."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.money import MAX_PUSD, PUSD_PER_USD, MoneyError, pusd_to_usd, usd_to_pusd

_amounts = st.integers(0, MAX_PUSD)


@given(_amounts)
@example(0)
@example(1)
@example(MAX_PUSD)
@example(PUSD_PER_USD)
def test_text_and_back(pusd: int) -> None:
    text = pusd_to_usd(pusd)
    assert usd_to_pusd(text) == (pusd, True)
    assert "e" not in text.lower()
    assert text == "0" or not text.endswith(".")
    assert "." not in text or not text.endswith("0")


@given(_amounts, st.integers(-20, 20))
def test_exponents_mean_the_same(pusd: int, shift: int) -> None:
    text = f"{Decimal(pusd).scaleb(-12 - shift):f}e{shift}"
    if len(text) <= 64:
        assert usd_to_pusd(text) == (pusd, True)


@given(st.decimals(min_value=0, max_value=Decimal(9000000), allow_nan=False, allow_infinity=False, places=20))
def test_finer_digits_are_rounded_up(usd: Decimal) -> None:
    text = str(usd)
    pusd, exact = usd_to_pusd(text)
    true = Fraction(usd) * PUSD_PER_USD
    assert 0 <= pusd - true < 1
    assert exact is (pusd == true)


@pytest.mark.parametrize(
    ("text", "pusd", "exact"),
    [
        ("0.000168", 168_000_000, True),
        ("1.68e-4", 168_000_000, True),
        ("1.68E-4", 168_000_000, True),
        ("0.000000000001", 1, True),
        ("0.0000000000001234", 1, False),
        ("1e-400", 1, False),
        ("0.00012345678901234567", 123_456_790, False),
        ("-0", 0, True),
        ("0e99", 0, True),
        ("9223372.036854775807", MAX_PUSD, True),
    ],
)
def test_literals(text: str, pusd: int, exact: bool) -> None:
    assert usd_to_pusd(text) == (pusd, exact)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "x", "1,5", "$1", "0x1", "1e", "--1", "1 2", "NaN", "sNaN", "Infinity", "-Infinity", "1_0", "0.0_1"),
        *("-0.01", "-1e-30", "1e400", "1e999999999", "9223372.036854775808", "10000000", "0." + "1" * 63),
    ],
)
def test_what_is_no_money_is_refused(text: str) -> None:
    with pytest.raises(MoneyError) as caught:
        usd_to_pusd(text)
    assert text == "" or len(text) < 6 or text not in str(caught.value)


@given(st.text(max_size=70))
def test_any_text_gives_money_or_money_error(text: str) -> None:
    try:
        pusd, _ = usd_to_pusd(text)
    except MoneyError:
        return
    assert 0 <= pusd <= MAX_PUSD


@given(_amounts)
def test_a_negative_amount_is_written_with_a_sign(pusd: int) -> None:
    """Adjustments can be negative; they are read as integers and only written as text."""
    assert pusd_to_usd(-pusd) == (f"-{pusd_to_usd(pusd)}" if pusd else "0")
