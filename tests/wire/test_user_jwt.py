"""A JWT that names an end user: believed with the right signature, in its time, and in no other case."""

from typing import Any

import jwt
import pytest

from proxy.wire.user_jwt import UserJwtError, UserJwtReader

SECRET = "s" * 32
NOW_S = 1_800_000_000.0
READER = UserJwtReader(SECRET)


def signed(claims: dict[str, Any], secret: str = SECRET, algorithm: str = "HS256") -> str:
    return jwt.encode(claims, secret, algorithm=algorithm)


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": NOW_S + 1},
        {"exp": int(NOW_S) + 1, "nbf": int(NOW_S)},
        {"exp": 10**400},  # larger than any float
        {"exp": NOW_S + 1, "aud": "others", "iss": "x", "iat": NOW_S + 9, "jti": "1"},  # no other claim concerns us
    ],
)
def test_what_is_believed(claims: dict[str, Any]) -> None:
    assert READER.claims(signed(claims), NOW_S) == claims


@pytest.mark.parametrize(
    ("claims", "problem"),
    [
        ({}, "has no exp"),
        ({"exp": "soon"}, "has no exp"),
        ({"exp": True}, "has no exp"),
        ({"exp": float("inf")}, "has no exp"),
        ({"exp": NOW_S}, "has expired"),
        ({"exp": NOW_S + 9, "nbf": NOW_S + 1}, "is not valid yet"),
        ({"exp": NOW_S + 9, "nbf": None}, "is not valid yet"),
    ],
)
def test_what_is_out_of_its_time(claims: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserJwtError, match=problem):
        READER.claims(signed(claims), NOW_S)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (signed({"exp": NOW_S + 9}, "t" * 32), "another secret"),
        (signed({"exp": NOW_S + 9}, SECRET * 2, "HS512"), "not signed with HS256"),
        (jwt.encode({"exp": NOW_S + 9}, "", algorithm="none"), "not signed with HS256"),
        ("", "not a JWT"),
        ("a.b.c", "not a JWT"),
        ("[" * 9_000 + ".e30.e30", "not a JWT"),
    ],
)
def test_what_nobody_of_ours_signed(text: str, problem: str) -> None:
    with pytest.raises(UserJwtError, match=problem) as caught:
        READER.claims(text, NOW_S)
    assert not text or text not in str(caught.value)
    assert caught.value.__context__ is None  # it would carry the token into logs
