"""A sealed value as text: ``v1.<id of the master key>.<nonce>.<ciphertext and tag>``, AES-256-GCM.

The ciphertext is bound to its place (place.py), and to its database by the salt that its key is derived with. The
plaintext carries its length and is padded, so that a ciphertext tells no more than a length class of 64 bytes.
"""

import base64
import binascii
import re
from typing import Literal

from msgspec import Struct

from proxy.core.errors import TollkeeperError
from proxy.core.secret import Secret
from proxy.policy.sealing.master_key import MasterKey
from proxy.policy.sealing.master_ring import MasterRing
from proxy.policy.sealing.place import Place, associated_data

NONCE_BYTES = 12
_TAG_BYTES = 16
_LENGTH_BYTES = 4
_BLOCK_BYTES = 64
_FORM = re.compile(r"v1\.([0-9a-f]{8})\.([A-Za-z0-9_-]{16})\.([A-Za-z0-9_-]{80,}={0,2})", re.ASCII)

_NO_RECORD = "it is not a sealed value, or was cut off"

Reason = Literal["malformed", "unknown_key", "retired_key", "altered"]


class UnsealError(TollkeeperError):
    """A sealed value that does not open; reason is a stable word, master_key_id that of the key it asks for."""

    def __init__(self, reason: Reason, text: str, master_key_id: str | None = None) -> None:
        super().__init__(text)
        self.reason: Reason = reason
        self.master_key_id = master_key_id


class _SealedParts(Struct, frozen=True):
    master_key_id: str
    nonce: bytes
    ciphertext: bytes


def seal(value: Secret, place: Place, version: int, *, key: MasterKey, salt: bytes, nonce: bytes) -> str:
    """Return a value sealed for its place. nonce: 12 fresh random bytes; salt: that of the database."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - 15 ms, where values are sealed

    cipher = AESGCM(key.derive(salt, place.purpose))
    sealed = cipher.encrypt(nonce, _padded(value.reveal().encode()), associated_data(place, version))
    return f"v1.{key.id}.{_text_of(nonce)}.{_text_of(sealed)}"


def unseal(record: str, place: Place, version: int, *, ring: MasterRing, salt: bytes) -> Secret:
    """Return the value of a record that stands at a place; raises UnsealError."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    parts = _parts(record)
    key = ring.find(parts.master_key_id)
    if key is None:
        raise _no_key(parts.master_key_id, is_retired=ring.is_retired(parts.master_key_id))
    try:
        padded = AESGCM(key.derive(salt, place.purpose)).decrypt(
            parts.nonce, parts.ciphertext, associated_data(place, version)
        )
    except InvalidTag:
        raise UnsealError(
            "altered",
            "it was changed, or sealed for another place: another row, column or database",
            parts.master_key_id,
        ) from None
    return _value(padded)


def master_key_id_of(record: str) -> str | None:
    """Return the id of the master key that sealed a record; None for a text that is none."""
    found = _FORM.fullmatch(record)
    return None if found is None else found[1]


def _parts(record: str) -> _SealedParts:
    found = _FORM.fullmatch(record)
    if found is None:
        raise UnsealError("malformed", _NO_RECORD)
    try:
        parts = _SealedParts(found[1], base64.urlsafe_b64decode(found[2]), base64.urlsafe_b64decode(found[3]))
    except binascii.Error:
        raise UnsealError("malformed", _NO_RECORD, found[1]) from None
    if (len(parts.ciphertext) - _TAG_BYTES) % _BLOCK_BYTES:
        raise UnsealError("malformed", _NO_RECORD, found[1])
    return parts


def _no_key(id_: str, *, is_retired: bool) -> UnsealError:
    if is_retired:
        return UnsealError(
            "retired_key",
            f"it was sealed with master key {id_}, which a rotation has retired (a row of an older back-up?):"
            " tollkeeper keys master rotate --resume seals it anew",
            id_,
        )
    return UnsealError("unknown_key", f"it was sealed with master key {id_}, which is not at hand", id_)


def _padded(text: bytes) -> bytes:
    whole = len(text).to_bytes(_LENGTH_BYTES, "big") + text
    return whole + bytes(-len(whole) % _BLOCK_BYTES)


def _value(padded: bytes) -> Secret:
    length = int.from_bytes(padded[:_LENGTH_BYTES], "big")
    return Secret(padded[_LENGTH_BYTES : _LENGTH_BYTES + length].decode())


def _text_of(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode()
