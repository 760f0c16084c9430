"""How often one token has sent the very same body: a program in a loop pays for each round.

Of a body only its hash is kept, in memory: the interpreter's own (SipHash, 64 bits), whose key is drawn at each start.
It reads a body in a sixth of the time that a hash for storage takes.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

SLICE_MS: Final = 10_000
_SLICES: Final = 360 + 1
_BODIES_MAX: Final = 512  # of one slice: who repeats within ten seconds is among them, and memory stays bounded
_WHOLE_MAX_BYTES: Final = 1 << 20
_END_BYTES: Final = 1 << 16


class RepeatedBody(NamedTuple):
    """A body that came more than once."""

    user: str
    token_id: str
    digest: int
    times: int


_Key = tuple[str, str, int]


class RepeatedBodies:
    """Counts of the last hour, in slices of ten seconds; times are epoch ms."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._slices: dict[int, dict[_Key, int]] = {}
        self._number = -1
        self._slice: dict[_Key, int] = {}

    def note(self, user: str, token_id: str, body: bytes, now_ms: int) -> None:
        """Count a body. A very long one is known by its length, its beginning and its end."""
        number = now_ms // SLICE_MS
        if number != self._number:
            self._begin(number)
        key = (user, token_id, _digest(body))
        counts = self._slice
        count = counts.get(key, 0)
        if count == 0 and len(counts) >= _BODIES_MAX:
            self._make_room()
            counts = self._slice
        counts[key] = count + 1

    def within(self, span_ms: int) -> list[RepeatedBody]:
        """Return the bodies that came more than once within the last span_ms."""
        newest = self._now_ms() // SLICE_MS
        first = newest - max(1, span_ms // SLICE_MS)
        sums: dict[_Key, int] = {}
        for number, counts in self._slices.items():
            if first <= number <= newest:
                for key, count in counts.items():
                    sums[key] = sums.get(key, 0) + count
        return [RepeatedBody(*key, times) for key, times in sums.items() if times > 1]

    def _begin(self, number: int) -> None:
        self._number = number
        self._slice = self._slices.setdefault(number, {})
        if len(self._slices) > _SLICES:
            kept = {n: one for n, one in self._slices.items() if number - _SLICES < n <= number}
            self._slices = kept

    def _make_room(self) -> None:
        """Drop bodies that came once, or all where each came more often."""
        kept = {key: count for key, count in self._slice.items() if count > 1}
        self._slice = self._slices[self._number] = {} if len(kept) >= _BODIES_MAX else kept


def _digest(body: bytes) -> int:
    if len(body) <= _WHOLE_MAX_BYTES:
        return hash(body)
    return hash((len(body), body[:_END_BYTES], body[-_END_BYTES:]))
