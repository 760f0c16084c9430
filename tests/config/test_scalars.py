"""YAML 1.2 for scalars, and ${VAR}."""

import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.diagnostic import SettingError
from proxy.config.scalars import typed
from proxy.config.variables import names_in, substitute


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12:30", "12:30"),
        ("on", "on"),
        ("yes", "yes"),
        ("true", True),
        ("False", False),
        ("", None),
        ("~", None),
        ("null", None),
        ("8787", 8787),
        ("-1", -1),
        ("0", 0),
        ("007", "007"),
        ("0x1f", "0x1f"),
        ("0o17", "0o17"),
        ("1_000", "1_000"),
        ("1e3", Decimal(1000)),
        ("2.50", Decimal("2.50")),
        (".5", Decimal("0.5")),
        ("1e999999999", "1e999999999"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("2026-11-21", "2026-11-21"),
        ("9" * 31, "9" * 31),
        ("٣", "٣"),
    ],
)
def test_typed(text: str, value: object) -> None:
    found = typed(text)
    assert found == value
    assert type(found) is type(value)


def test_a_fraction_keeps_its_digits() -> None:
    assert str(typed("2.50")) == "2.50"


@given(st.integers(-(10**29), 10**29))
def test_every_integer_is_read_as_itself(number: Any) -> None:
    assert typed(str(number)) == number


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=9))
def test_every_fraction_is_read_exactly(number: Any) -> None:
    assert typed(format(number, "f")) == number


@given(st.text(max_size=40))
def test_any_text_has_a_value_of_bounded_size(text: str) -> None:
    value = typed(text)
    if isinstance(value, str):
        assert value == text
    elif isinstance(value, Decimal):
        assert value.is_finite()
        assert math.isfinite(float(value))
        assert abs(value) < 10**131


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("${A}", "1"),
        ("x${A}y${A}", "x1y1"),
        ("${B:-two}", "two"),
        ("${EMPTY:-two}", "two"),
        ("${EMPTY}", ""),
        ("${B:-}", ""),
        ("${A:?no}", "1"),
        ("$2/day", "$2/day"),
        ("$$A", "$A"),
        ("$${A}", "${A}"),
        ("$A", "$A"),
        ("100%", "100%"),
    ],
)
def test_substitute(text: str, result: str) -> None:
    assert substitute(text, {"A": "1", "EMPTY": ""}) == result


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${B}", "the environment variable B is not set"),
        ("${OPENROUTER_KEY}", "Did you mean OPENROUTER_KEYS?"),
        ("${B:?write B in /etc/x}", "write B in /etc/x"),
        ("${EMPTY:?}", "the environment variable EMPTY is not set"),
        ("${}", "${ begins a variable"),
        ("${A B}", "${ begins a variable"),
        ("${A", "${ begins a variable"),
        ("${A:+x}", "${ begins a variable"),
    ],
)
def test_what_cannot_be_substituted(text: str, message: str) -> None:
    with pytest.raises(SettingError) as refused:
        substitute(text, {"A": "1", "EMPTY": "", "OPENROUTER_KEYS": "x"})
    assert message in str(refused.value)


@given(st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{0,5}", fullmatch=True), st.text(max_size=10), min_size=1))
def test_values_are_put_in_verbatim_and_never_read_again(environ: dict[str, str]) -> None:
    text = "|".join(f"${{{name}}}" for name in environ)
    assert names_in(text) == list(environ)
    assert substitute(text, environ) == "|".join(environ.values())


@given(st.text(alphabet="${}:-?AB", max_size=12))
def test_any_text_is_substituted_or_refused(text: str) -> None:
    try:
        outcome = substitute(text, {"A": "1"})
    except SettingError as error:
        outcome = str(error)
        assert outcome
    assert "${A}" not in outcome
