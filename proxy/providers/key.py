"""A provider's key: the name that lists and the ledger show, and the secret that they never do."""

import hashlib
from typing import ClassVar

from msgspec.structs import force_setattr

from proxy.core.secret import Secret, SecretHolder
from proxy.policy.key_ring import KeyFacts
from proxy.policy.quota import Quota

_ID_DIGITS = 12  # of 16: a number of six bytes, the same for two keys of a million with a chance of one in 500
_SECRET_LEAST_CHARS = 8
"""A shorter key, such as local servers are given, is no secret but a part of words: "k" stands in "unknown"."""


class Key(SecretHolder, frozen=True):
    """One key of a provider. secret None: the provider asks for none."""

    NOT_SHOWN: ClassVar = frozenset({"quoted", "quoted_bytes", "hash", "id"})

    facts: KeyFacts
    secret: Secret | None
    quotas: tuple[Quota, ...] = ()  # limits of its own
    problem: str | None = None  # of a user's own: why nothing may be sent with it
    name: str = ""  # by its facts
    quoted: str = ""  # the part that a provider could quote; "": nothing
    quoted_bytes: bytes = b""
    hash: str | None = None  # SHA-256 in hex, as OpenRouter names its keys
    id: int | None = None  # by which rows remember it: the hash's first bytes

    def __post_init__(self) -> None:
        force_setattr(self, "name", self.facts.name)
        text = "" if self.secret is None else self.secret.reveal()
        force_setattr(self, "quoted", text if len(text) >= _SECRET_LEAST_CHARS else "")
        force_setattr(self, "quoted_bytes", self.quoted.encode())
        hashed = hashlib.sha256(text.encode()).hexdigest() if text else None
        force_setattr(self, "hash", hashed)
        force_setattr(self, "id", None if hashed is None else int(hashed[:_ID_DIGITS], 16))


NO_KEY = Key(KeyFacts("none"), None)

MANAGEMENT = KeyFacts("management")
"""What lists call the key that may ask for an account, and for no answer."""


def key_scope(provider: str, key: str) -> str:
    """Return the scope of a key's own limits, by the names of its provider and itself."""
    return f"key:{provider}/{key}"


OWN = "own"
"""What the ledger calls a key that the user brought."""
