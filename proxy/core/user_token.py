"""The form of a token: ``tk-``, 43 base62 characters (256 random bits), 6 of CRC32 over all before them.

Those of operators begin with ``tkop-`` and are the same behind it, so that nobody takes one for the other.

The checksum tells a typing mistake from an unknown token without looking the token up. Only the SHA-256 of the
whole token is ever stored.
"""

import hashlib
import secrets
import string
import zlib

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
PREFIX = "tk-"
OPERATOR_PREFIX = "tkop-"
_RANDOM_CHARS = 43  # 62**43 > 2**256
_CRC_CHARS = 6  # 62**6 > 2**32
LENGTH = len(PREFIX) + _RANDOM_CHARS + _CRC_CHARS


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, rest = divmod(number, 62)
        digits.append(_ALPHABET[rest])
    return "".join(reversed(digits))


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode()), _CRC_CHARS)


def new_token(prefix: str = PREFIX) -> str:
    """Make a token from 256 bits of the system's randomness."""
    body = prefix + _base62(secrets.randbits(256), _RANDOM_CHARS)
    return body + _checksum(body)


def is_well_formed(token: str, prefix: str = PREFIX) -> bool:
    """Return whether the checksum is right; whether anybody owns the token is another question."""
    return (
        len(token) == len(prefix) + _RANDOM_CHARS + _CRC_CHARS
        and token.isascii()
        and token.startswith(prefix)
        and token[-_CRC_CHARS:] == _checksum(token[:-_CRC_CHARS])
    )


def token_hash(token: str) -> str:
    """Return the SHA-256 in hex, the only form in which a token is stored."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
