"""Master keys: their text, their ids, and the keys that are derived from them."""

import base64
import hashlib
import hmac
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.sealing.master_key import MasterKey, MasterKeyError, read_master_key

RAW = hashlib.sha256(b"a key for tests").digest()


def expected(key: bytes, salt: bytes, purpose: str, length: int) -> bytes:
    """Return what RFC 5869 says, for lengths up to one block of SHA-256."""
    pseudo_random = hmac.digest(salt or bytes(32), key, "sha256")
    return hmac.digest(pseudo_random, f"tollkeeper/v1/{purpose}".encode() + b"\x01", "sha256")[:length]


def test_derivation_is_hkdf_sha256_of_rfc_5869() -> None:
    # its test case 1 holds for the primitive of the function above, which is then a witness for ours
    made = hmac.digest(bytes(range(13)), b"\x0b" * 22, "sha256")
    assert made.hex() == "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"
    key = MasterKey(RAW)
    assert key.derive(b"salt", "provider_keys.secret") == expected(RAW, b"salt", "provider_keys.secret", 32)
    assert key.id == expected(RAW, b"", "kid", 4).hex()


def test_each_database_and_each_purpose_has_its_own() -> None:
    key = MasterKey(RAW)
    assert len({key.derive(salt, purpose) for salt in (b"1", b"2") for purpose in ("a.b", "a.c")}) == 4


@given(st.binary(min_size=32, max_size=32).filter(lambda raw: len(set(raw)) > 1))
def test_a_key_survives_its_text_whatever_alphabet_and_ends_it_has(raw: bytes) -> None:
    if raw == bytes(range(32)):
        return
    key, line = MasterKey(raw), MasterKey(raw).as_text()
    form, encoded, checksum = line.split(":")
    url_safe = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    for text in (line, f"{line}\n", f"\ufeff{line}\r\n", f"  {form}:{url_safe}:{checksum.upper()} "):
        assert read_master_key(text) == key
    assert encoded == base64.b64encode(raw).decode()


@given(st.integers(0, 58), st.characters(codec="ascii"))
def test_a_changed_character_is_refused_without_being_quoted(at: int, other: str) -> None:
    line = MasterKey(RAW).as_text()
    changed = line[:at] + other + line[at + 1 :]
    try:
        found, told = read_master_key(changed), ""
    except MasterKeyError as error:
        found, told = MasterKey(RAW), str(error)
    assert found == MasterKey(RAW)  # another way to write the same, or refused
    assert line[6:40] not in told


@pytest.mark.parametrize("raw", [bytes(32), b"\xff" * 32, b"k" * 32, bytes(range(32)), b"short", bytes(33)])
def test_what_anybody_could_guess_is_no_key(raw: bytes) -> None:
    with pytest.raises(MasterKeyError):
        MasterKey(raw)


def test_it_never_shows_itself() -> None:
    key = MasterKey(RAW)
    assert repr(key) == str(key) == f"{key}" == f"MasterKey({key.id})"
    with pytest.raises(TypeError):
        pickle.dumps(key)
