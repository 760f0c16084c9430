"""A provider's key: the name that lists and the ledger show, and the secret that they never do."""

import hashlib
from dataclasses import dataclass, field

from proxy.core.secret import Secret
from proxy.policy.key_ring import KeyFacts
from proxy.policy.quota import Quota

_ID_DIGITS = 12  # of 16: a number of six bytes, the same for two keys of a million with a chance of one in 500
_SECRET_LEAST_CHARS = 8
"""A shorter key, such as local servers are given, is no secret but a part of words: "k" stands in "unknown"."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a provider. secret None: the provider asks for none."""

    facts: KeyFacts
    secret: Secret | None
    quotas: tuple[Quota, ...] = ()  # limits of its own
    problem: str | None = None  # of a user's own: why nothing may be sent with it
    name: str = field(init=False, compare=False)  # by its facts

    quoted: str = field(init=False, compare=False, repr=False)  # the part that a provider could quote; "": nothing
    quoted_bytes: bytes = field(init=False, compare=False, repr=False)
    hash: str | None = field(init=False, compare=False, repr=False)  # SHA-256 in hex, as OpenRouter names its keys
    id: int | None = field(init=False, compare=False, repr=False)  # by which rows remember it: the hash's first bytes

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.facts.name)
        text = "" if self.secret is None else self.secret.reveal()
        object.__setattr__(self, "quoted", text if len(text) >= _SECRET_LEAST_CHARS else "")
        object.__setattr__(self, "quoted_bytes", self.quoted.encode())
        hashed = hashlib.sha256(text.encode()).hexdigest() if text else None
        object.__setattr__(self, "hash", hashed)
        object.__setattr__(self, "id", None if hashed is None else int(hashed[:_ID_DIGITS], 16))


NO_KEY = Key(KeyFacts("none"), None)

MANAGEMENT = KeyFacts("management")
"""What lists call the key that may ask for an account, and for no answer."""


def key_scope(provider: str, key: str) -> str:
    """Return the scope of a key's own limits, by the names of its provider and itself."""
    return f"key:{provider}/{key}"


OWN = "own"
"""What the ledger calls a key that the user brought."""
