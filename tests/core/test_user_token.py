"""A token's checksum tells a typing mistake from a token that nobody owns."""

import hashlib
import string

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.user_token import LENGTH, OPERATOR_PREFIX, PREFIX, is_well_formed, new_token, token_hash

_LETTERS = string.digits + string.ascii_letters


def test_new_tokens() -> None:
    tokens = {new_token() for _ in range(200)}
    assert len(tokens) == 200
    for token in tokens:
        assert token.startswith(PREFIX)
        assert len(token) == LENGTH == 52
        assert set(token[len(PREFIX) :]) <= set(_LETTERS)
        assert is_well_formed(token)


def test_an_operators_token_is_no_users_token() -> None:
    token = new_token(OPERATOR_PREFIX)
    assert is_well_formed(token, OPERATOR_PREFIX)
    assert not is_well_formed(token)
    assert not is_well_formed(new_token(), OPERATOR_PREFIX)


@given(st.integers(0, LENGTH - 1), st.sampled_from(_LETTERS))
def test_one_wrong_letter_is_seen(at: int, letter: str) -> None:
    token = new_token()
    wrong = token[:at] + letter + token[at + 1 :]
    assert is_well_formed(wrong) is (wrong == token)


@given(st.integers(3, LENGTH - 2))
def test_two_letters_in_the_wrong_order_are_seen(at: int) -> None:
    token = new_token()
    wrong = token[:at] + token[at + 1] + token[at] + token[at + 2 :]
    assert is_well_formed(wrong) is (wrong == token)


@given(st.integers(0, LENGTH - 1), st.text(max_size=3))
def test_cut_off_or_longer_is_seen(at: int, more: str) -> None:
    token = new_token()
    assert not is_well_formed(token[:at])
    assert is_well_formed(token + more) is (more == "")


@given(st.text(st.characters(), max_size=80))
def test_any_text_is_judged_without_an_error(text: str) -> None:
    assert not is_well_formed(text)
    assert len(token_hash(text.encode("utf-8", "replace").decode())) == 64


def test_hash() -> None:
    assert token_hash("tk-x") == hashlib.sha256(b"tk-x").hexdigest()
    assert token_hash("tk-\udcff") == hashlib.sha256(b"tk-\xff").hexdigest()  # bytes that were no UTF-8 in a header
