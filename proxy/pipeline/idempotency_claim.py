"""claim: one request that holds an Idempotency-Key while it is under way, and those that wait for its answer."""

from collections.abc import Mapping
from typing import NamedTuple

from proxy.core.errors import ApiError
from proxy.core.latch import Latch
from proxy.storage.ledger import Ledger
from proxy.storage.rows import KeyHashes, id_text


class StoredResponse(NamedTuple):
    """A complete answer, as long as somebody may still join it."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class IdempotencyClaim:
    """What the request came to is noted in answer or error; where neither is, its row tells."""

    __slots__ = ("_waiting", "answer", "error", "hashes", "id", "request_id", "since_id", "streams")

    def __init__(self, hashes: KeyHashes, id_: int, since_id: int, *, streams: bool) -> None:
        self.hashes = hashes
        self.id = id_
        self.request_id = id_text(id_)
        self.since_id = since_id  # keys of older requests are forgotten
        self.streams = streams
        self.answer: StoredResponse | None = None
        self.error: ApiError | None = None
        self._waiting: set[Latch] = set()

    def keep(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Store the answer that the client gets."""
        self.answer = StoredResponse(status, headers, body)

    def wait_for_end(self) -> Latch:
        """Return what is set when the request is over; forget() it when nobody waits any more."""
        latch = Latch()
        self._waiting.add(latch)
        return latch

    def forget(self, latch: Latch) -> None:
        self._waiting.discard(latch)

    def end(self) -> None:
        """Wake those who wait."""
        for latch in self._waiting:
            latch.set()

    async def write(self, ledger: Ledger) -> None:
        """Write the key: before the request's own row, and so before anything is sent."""
        await ledger.claim_key(self.hashes, self.id, self.since_id)


class IdempotencyClaims:
    """The claims of requests that are under way, by the hash of their key. One ledger has one owner: these are all."""

    def __init__(self) -> None:
        self._claims: dict[bytes, IdempotencyClaim] = {}

    def __len__(self) -> int:
        return len(self._claims)

    def ids(self) -> frozenset[int]:
        """Return the requests that hold a key."""
        return frozenset([claim.id for claim in self._claims.values()])

    def drop(self, request_id: int) -> None:
        """End the claim, if any, of a request that is gone."""
        for claim in [claim for claim in self._claims.values() if claim.id == request_id]:
            self.end(claim)

    def find(self, hashes: KeyHashes) -> IdempotencyClaim | None:
        return self._claims.get(hashes.key)

    def add(self, claim: IdempotencyClaim) -> IdempotencyClaim:
        self._claims[claim.hashes.key] = claim
        return claim

    def end(self, claim: IdempotencyClaim) -> None:
        """Free the key: the request is over, and its row says how."""
        self._claims.pop(claim.hashes.key, None)
        claim.end()
