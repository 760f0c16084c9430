"""Sealed values: what opens where, and what is refused by which name."""

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.secret import Secret
from proxy.policy.sealing.master_key import MasterKey
from proxy.policy.sealing.master_ring import MasterRing
from proxy.policy.sealing.place import Place
from proxy.policy.sealing.record import UnsealError, master_key_id_of, seal, unseal

A, B = (MasterKey(sha256(name).digest()) for name in (b"A", b"B"))
PLACE = Place("provider_keys", "openrouter/main/", "secret")
VALUE = Secret("sk-or-v1-canary")


@dataclass(frozen=True)
class Sealed:
    """A value's place, and everything else that it is bound to."""

    key: MasterKey = A
    place: Place = PLACE
    version: int = 1
    salt: bytes = b"one database"

    def record(self, value: Secret = VALUE, nonce: bytes = b"n" * 12) -> str:
        return seal(value, self.place, self.version, key=self.key, salt=self.salt, nonce=nonce)

    def open(self, record: str, ring: MasterRing | None = None) -> Secret:
        return unseal(record, self.place, self.version, ring=ring or MasterRing(self.key), salt=self.salt)


def refused(record: str, where: Sealed, ring: MasterRing | None = None) -> UnsealError:
    with pytest.raises(UnsealError) as caught:
        where.open(record, ring)
    assert VALUE.reveal() not in str(caught.value)
    return caught.value


def test_the_cipher_is_aes_256_gcm_as_published() -> None:
    # test case 16 of McGrew and Viega, The Galois/Counter Mode of Operation
    key = bytes.fromhex("feffe9928665731c6d6a8f9467308308" * 2)
    plain = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
    plain += "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    bound = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    sealed = AESGCM(key).encrypt(bytes.fromhex("cafebabefacedbaddecaf888"), bytes.fromhex(plain), bound)
    assert sealed.hex().endswith("bcc9f66276fc6ece0f4e1768cddf8853bb2d551b")


def test_the_form_is_frozen() -> None:
    """Values that any version has sealed have to open in each later one."""
    record = Sealed().record()
    assert record == (
        "v1.487a7637.bm5ubm5ubm5ubm5u."
        "hMXYyevXshG9hGzyba1iZl24KsRCflLqUiT7Xm-R3Nj6J1w1LUUEQpNruRaEFZT1qJHDAzSEtXAXVlRcVudqBAkxoNH9E0AHC17ngelvJNo="
    )


@given(st.text(max_size=300))
def test_any_text_comes_back(text: str) -> None:
    assert Sealed().open(Sealed().record(Secret(text))).reveal() == text


@given(st.integers(0, 200))
def test_a_ciphertext_tells_a_class_of_64_bytes_only(length: int) -> None:
    record = Sealed().record(Secret("k" * length))
    classes = (length + 4 + 63) // 64
    assert len(record) == len(Sealed().record(Secret("k" * max(64 * classes - 4, 0))))


OTHERS: list[tuple[str, dict[str, Any], str]] = [
    ("row", {"place": PLACE._replace(row="openrouter/spare/")}, "altered"),
    ("column", {"place": PLACE._replace(column="other")}, "altered"),
    ("table", {"place": PLACE._replace(table="webhooks")}, "altered"),
    ("version", {"version": 2}, "altered"),
    ("database", {"salt": b"another database"}, "altered"),
    ("master key", {"key": B}, "unknown_key"),
]


@pytest.mark.parametrize(("change", "reason"), [each[1:] for each in OTHERS], ids=[each[0] for each in OTHERS])
def test_a_value_opens_nowhere_else(change: dict[str, Any], reason: str) -> None:
    assert refused(Sealed().record(), replace(Sealed(), **change)).reason == reason


def test_keys_of_the_ring_open_and_retired_ones_are_named() -> None:
    record, rotating = Sealed().record(), MasterRing(A).with_new(B)
    assert Sealed().open(record, rotating) == VALUE
    error = refused(record, Sealed(), rotating.retired())
    assert (error.reason, error.master_key_id) == ("retired_key", A.id)
    assert A.id in str(error)


@given(st.data())
def test_a_changed_record_never_opens_as_another_value(data: st.DataObject) -> None:
    record = Sealed().record()
    at = data.draw(st.integers(0, len(record) - 1))
    other = data.draw(st.sampled_from("abcXYZ019-_.= \n"))
    changed = record[:at] + other + record[at + 1 :]
    if changed != record:
        try:
            found = Sealed().open(changed)
        except UnsealError:
            return
        assert found == VALUE  # the last character of base64 has bits that say nothing
        assert at == len(record.rstrip("=")) - 1


@given(st.integers(0, 170))
def test_a_record_that_was_cut_off_is_refused(kept: int) -> None:
    record = Sealed().record()
    if kept < len(record):
        assert refused(record[:kept], Sealed()).reason in ("malformed", "altered")


@pytest.mark.parametrize("text", ["", "v1", "v2.aaaaaaaa.b.c", VALUE.reveal(), f"v1.zzzzzzzz.{'A' * 16}.{'A' * 120}"])
def test_what_is_no_record_has_no_key(text: str) -> None:
    assert master_key_id_of(text) is None
    assert refused(text, Sealed()).reason == "malformed"
