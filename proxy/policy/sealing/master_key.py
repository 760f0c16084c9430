"""The master key: 32 random bytes from which the key of each kind of sealed value is derived.

As text it is one line, ``tkmk1:<base64>:<checksum>``; the checksum tells a typing mistake from another key.
"""

import base64
import binascii
import hashlib
from typing import final

from proxy.core.errors import TollkeeperError

FORM = "tkmk1"
KEY_BYTES = 32
_CHECKSUM_CHARS = 8
_URL_LETTERS = str.maketrans("-_", "+/")
_INFO = "tollkeeper/v1/"
_KNOWN_WEAK = frozenset({bytes(KEY_BYTES), bytes(range(KEY_BYTES)), b"\xff" * KEY_BYTES})


class MasterKeyError(TollkeeperError):
    """A master key, or a ring of them, that cannot be used; the text never holds any of it."""


@final
class MasterKey:
    """One master key; repr and str show its id only."""

    __slots__ = ("_key", "id")

    def __init__(self, key: bytes) -> None:
        """Keep 32 bytes; raises MasterKeyError for any other number, and for keys that everybody could guess."""
        if len(key) != KEY_BYTES:
            raise MasterKeyError(f"A master key has {KEY_BYTES} bytes; this one has {len(key)}.")
        if key in _KNOWN_WEAK or len(set(key)) == 1:
            raise MasterKeyError("This master key is not random. Make one with: tollkeeper keys master init")
        self._key = key
        self.id = _expand(key, b"", "kid", 4).hex()  # eight hex digits that tell one key from another, and no more

    def derive(self, salt: bytes, purpose: str) -> bytes:
        """Return the 32 bytes of the key for one purpose in one database, whose salt it is (HKDF-SHA256)."""
        return _expand(self._key, salt, purpose, KEY_BYTES)

    def as_text(self) -> str:
        """Return the line that stands in a file: the key itself."""
        return f"{FORM}:{base64.b64encode(self._key).decode()}:{_checksum(self._key)}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MasterKey) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"MasterKey({self.id})"

    def __reduce__(self) -> str:
        raise TypeError("a master key is not pickled")


def _expand(key: bytes, salt: bytes, purpose: str, length: int) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - 15 ms, where there are sealed values
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

    return HKDF(SHA256(), length, salt, (_INFO + purpose).encode()).derive(key)


def _checksum(key: bytes) -> str:
    return hashlib.sha256(FORM.encode() + key).hexdigest()[:_CHECKSUM_CHARS]


def read_master_key(line: str) -> MasterKey:
    """Read a line, with base64 of either alphabet; raises MasterKeyError that says what is wrong, not what it held."""
    form, _, rest = line.strip().lstrip("\ufeff").partition(":")
    encoded, _, checksum = rest.partition(":")
    if form != FORM or not checksum:
        raise MasterKeyError(f"This is not a master key: one is a line {FORM}:<base64>:<checksum>.")
    try:
        padded = encoded.rstrip("=").translate(_URL_LETTERS)
        key = base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True)
    except binascii.Error:
        raise MasterKeyError("The master key is not base64: it was changed or cut off.") from None
    if checksum.lower() != _checksum(key):
        raise MasterKeyError("The master key is mistyped or incomplete: its checksum is wrong.")
    return MasterKey(key)
