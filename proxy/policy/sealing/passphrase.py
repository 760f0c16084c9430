"""A ring of master keys under a passphrase, for a copy that is kept elsewhere: scrypt, then AES-256-GCM.

As text it is one line: ``tkmk-backup1:<log2 n>:<r>:<p>:<salt>:<nonce>:<ciphertext and tag>``, all bound together.
"""

import base64
import binascii
import hashlib
import re
from typing import Final, NamedTuple

from proxy.core.secret import Secret
from proxy.policy.sealing.master_key import MasterKeyError
from proxy.policy.sealing.master_ring import MasterRing, read_ring

FORM: Final = "tkmk-backup1"
SALT_BYTES: Final = 16
NONCE_BYTES: Final = 12
_LEAST_CHARS: Final = 8
_LINE = re.compile(rf"({FORM}:([0-9]{{1,2}}):([0-9]{{1,2}}):([0-9]{{1,2}}):([\w-]+=*)):([\w-]+=*):([\w-]+=*)", re.ASCII)


class ScryptCost(NamedTuple):
    """What a guess costs: 2**log2_n blocks of 128 * r bytes, p times."""

    log2_n: int = 17
    r: int = 8
    p: int = 1


_COST = ScryptCost()  # 128 MiB and a third of a second for each guess
_COST_MAX = ScryptCost(20, 16, 4)  # a file that asks for more is not one of ours


def is_backup(text: str) -> bool:
    return text.strip().startswith(FORM + ":")


def wrap_ring(ring: MasterRing, passphrase: Secret, *, salt: bytes, nonce: bytes, cost: ScryptCost = _COST) -> str:
    """Return the line; raises MasterKeyError for a passphrase that anybody could guess. salt and nonce: random."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - for copies only

    if len(passphrase.reveal()) < _LEAST_CHARS:
        raise MasterKeyError(f"The passphrase must have at least {_LEAST_CHARS} characters.")
    head = f"{FORM}:{cost.log2_n}:{cost.r}:{cost.p}:{_text_of(salt)}"
    sealed = AESGCM(_key(passphrase, salt, cost)).encrypt(nonce, ring.as_text().encode(), head.encode())
    return f"{head}:{_text_of(nonce)}:{_text_of(sealed)}\n"


def unwrap_ring(text: str, passphrase: Secret) -> MasterRing:
    """Return the ring of a line; raises MasterKeyError."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    found = _LINE.fullmatch(text.strip())
    if found is None:
        raise MasterKeyError("This is not a copy of a master key made by: tollkeeper keys master export")
    cost = ScryptCost(int(found[2]), int(found[3]), int(found[4]))
    if not 1 <= cost.log2_n <= _COST_MAX.log2_n or not 1 <= cost.r <= _COST_MAX.r or not 1 <= cost.p <= _COST_MAX.p:
        raise MasterKeyError("The copy of the master key asks for more memory than any that was made here.")
    try:
        salt, nonce, sealed = (base64.urlsafe_b64decode(found[n]) for n in (5, 6, 7))
        plain = AESGCM(_key(passphrase, salt, cost)).decrypt(nonce, sealed, found[1].encode())
    except (binascii.Error, ValueError, InvalidTag):
        raise MasterKeyError("The passphrase is wrong, or the copy was changed or cut off.") from None
    return read_ring(plain.decode())


def _key(passphrase: Secret, salt: bytes, cost: ScryptCost) -> bytes:
    n = 2**cost.log2_n
    room_bytes = 128 * cost.r * (n + cost.p + 2)
    return hashlib.scrypt(
        passphrase.reveal().encode(), salt=salt, n=n, r=cost.r, p=cost.p, maxmem=2 * room_bytes, dklen=32
    )


def _text_of(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode()
