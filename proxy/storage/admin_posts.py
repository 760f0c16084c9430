"""POSTs to the operator's API that came with an Idempotency-Key: what was done, and what was answered, for a day."""

from typing import NamedTuple

from msgspec import Struct

KEPT_MS = 86_400_000


class PostClaim(NamedTuple):
    """A POST under a key. key_hash: SHA-256 of who asks and the key; body_hash: of path, query and body."""

    key_hash: bytes
    body_hash: bytes


class StoredPost(Struct, frozen=True):
    """A POST that was done. status and answer are None where the answer was not kept: it held a secret, or a crash."""

    body_hash: bytes
    at_ms: int
    status: int | None
    answer: bytes | None
