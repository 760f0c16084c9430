"""How long a provider asks to wait: every form, and anything at all in its place."""

from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.retry_after import read_retry_after

NOW_MS = 1_795_219_200_000


def read(headers: dict[str, str] | None = None, error: dict[str, Any] | None = None) -> float | None:
    return read_retry_after((headers or {}).get, error, NOW_MS)


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        ("12", 12.0),
        ("0", 0.0),
        (" 2.5 ", 2.5),
        ("86400000", 86_400_000.0),
        ("9" * 60, float("9" * 60)),
        (formatdate(NOW_MS / 1000 + 90, usegmt=True), 90.0),
        (formatdate(NOW_MS / 1000 + 90).replace("-0000", ""), 90.0),  # no zone given: HTTP dates are in GMT
        (formatdate(NOW_MS / 1000 - 90, usegmt=True), None),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("1e9", None),
        ("nan", None),
        ("inf", None),
        ("1_000", None),
        ("١٢", None),
        ("9" * 400, None),
        ("Thu, 99 Foo 2026 25:61:61 GMT", None),
        ("Thu, 01 Jan 99999 00:00:00 GMT", None),
    ],
)
def test_retry_after(value: str, wait_s: float | None) -> None:
    assert read({"retry-after": value}) == wait_s


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "junk", "retry-after": "9"}, 9.0),
        ({"x-ratelimit-reset": str(NOW_MS + 30_000)}, 30.0),
        ({"x-ratelimit-reset": str(NOW_MS - 1)}, None),
        ({"x-ratelimit-reset": str(NOW_MS + 30_000), "retry-after": "5"}, 5.0),
        ({}, None),
    ],
)
def test_headers(headers: dict[str, str], wait_s: float | None) -> None:
    assert read(headers) == wait_s


@pytest.mark.parametrize(
    ("error", "wait_s"),
    [
        ({"metadata": {"retry_after_seconds": 12}}, 12.0),
        ({"metadata": {"retry_after_seconds": "12"}}, 12.0),
        ({"availability": {"retry_after": 7}}, 7.0),
        ({"metadata": {"headers": {"Retry-After": "3"}}}, 3.0),
        ({"metadata": {"headers": {"X-RateLimit-Reset": str(NOW_MS + 4000)}}}, 4.0),
        ({"metadata": {"headers": {"X-RateLimit-Reset": NOW_MS + 4000}}}, 4.0),
        ({"metadata": {"retry_after_seconds": True}}, None),
        ({"metadata": {"retry_after_seconds": -1}}, None),
        ({"metadata": {"retry_after_seconds": 10**400}}, None),
        ({"metadata": "12"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_error_objects(error: dict[str, Any] | None, wait_s: float | None) -> None:
    assert read(None, error) == wait_s


def test_a_header_goes_before_the_body() -> None:
    assert read({"retry-after": "5"}, {"metadata": {"retry_after_seconds": 12}}) == 5.0


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=6,
)
_NAMES = st.sampled_from(["retry-after", "retry-after-ms", "x-ratelimit-reset"])
_DATES = st.from_regex(
    r"(Mon|Fri)?,? ?\d{1,3} (Nov|Foo|Jan) \d{1,6} \d{1,3}:\d\d(:\d\d)? ?([+-]\d{1,6}|GMT)?", fullmatch=True
)


@given(
    st.dictionaries(_NAMES, st.text() | _DATES),
    st.none()
    | st.fixed_dictionaries(
        {},
        optional={
            "metadata": _JSON
            | st.fixed_dictionaries(
                {}, optional={"retry_after_seconds": _JSON, "headers": _JSON | st.dictionaries(_NAMES, _JSON)}
            ),
            "availability": _JSON | st.fixed_dictionaries({}, optional={"retry_after": _JSON}),
        },
    ),
)
def test_nothing_makes_it_raise(headers: dict[str, str], error: dict[str, Any] | None) -> None:
    wait_s = read(headers, error)
    assert wait_s is None or 0 <= wait_s < float("inf")
