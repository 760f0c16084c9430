"""How often one token has sent the very same body: a program in a loop pays for each round.

Of a body only hashes are kept, in memory: the interpreter's own (SipHash, 64 bits), whose key is drawn at each start. A
body is read to its end only where its length and its last bytes have come before from the same token: most never have,
and one of a long conversation is a hundred kilobytes.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Final, NamedTuple

from proxy.pipeline.values.identity import Identity

SLICE_MS: Final = 10_000
_SLICES: Final = 360 + 1
_BODIES_MAX: Final = 512  # of one slice: who repeats within ten seconds is among them, and memory stays bounded
_WHOLE_MAX_BYTES: Final = 1 << 20
_END_BYTES: Final = 1 << 16
_TAIL_BYTES: Final = 128
_MARKS_MAX: Final = 16_384  # of each of two generations: beyond that a body that comes again is taken for new


class RepeatedBody(NamedTuple):
    """A body that came three times at least."""

    user: str
    token_id: str
    digest: int
    times: int


_Key = tuple[str, str, int]
_Mark = tuple[str, str, int, int]  # user, token, length, hash of the last bytes


class RepeatedBodies:
    """Counts of the last hour, in slices of ten seconds; times are epoch ms."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._marks: dict[_Mark, int] = {}  # when the first body with it came, which nobody read; 0: it is counted
        self._older_marks: dict[_Mark, int] = {}
        self._slices: dict[int, defaultdict[_Key, int]] = {}

    def note(self, identity: Identity, body: bytes, now_ms: int) -> None:
        """Count a body. A very long one is known by its length, its beginning and its end."""
        mark = (identity.user, identity.token_id, len(body), hash(body[-_TAIL_BYTES:]))
        marks = self._marks
        if mark in marks or mark in self._older_marks:
            self._count(mark, body, now_ms)
            return
        marks[mark] = now_ms
        if len(marks) > _MARKS_MAX:
            self._marks, self._older_marks = {}, marks

    def _count(self, mark: _Mark, body: bytes, now_ms: int) -> None:
        """Count a body whose mark has come before.

        The first that had it was not read: it is taken for the one that comes again first.
        """
        key = (mark[0], mark[1], _digest(body))
        first_ms = self._marks.get(mark, self._older_marks.get(mark, 0))
        if first_ms and any(key in counts for counts in self._slices.values()):
            self._slice_at(first_ms // SLICE_MS)[key] += 1
            first_ms = 0
        self._marks[mark] = first_ms
        counts = self._slice_at(now_ms // SLICE_MS)
        counts[key] += 1
        if len(counts) > _BODIES_MAX:
            self._make_room(now_ms // SLICE_MS)

    def within(self, span_ms: int) -> list[RepeatedBody]:
        """Return the bodies that came again within the last span_ms; the first that does so is known by its third."""
        newest = self._now_ms() // SLICE_MS
        first = newest - max(1, span_ms // SLICE_MS)
        sums: dict[_Key, int] = {}
        for number, counts in self._slices.items():
            if first <= number <= newest:
                for key, count in counts.items():
                    sums[key] = sums.get(key, 0) + count
        return [RepeatedBody(*key, times) for key, times in sums.items() if times > 1]

    def _slice_at(self, number: int) -> defaultdict[_Key, int]:
        counts = self._slices.get(number)
        if counts is None:
            counts = self._slices[number] = defaultdict(int)
            if len(self._slices) > _SLICES:
                newest = max(self._slices)
                self._slices = {n: one for n, one in self._slices.items() if newest - _SLICES < n}
        return counts

    def _make_room(self, number: int) -> None:
        """Drop bodies that came once, or all where each came more often."""
        kept = {key: count for key, count in self._slices[number].items() if count > 1}
        self._slices[number] = defaultdict(int, {} if len(kept) >= _BODIES_MAX else kept)


def _digest(body: bytes) -> int:
    if len(body) <= _WHOLE_MAX_BYTES:
        return hash(body)
    return hash((len(body), body[:_END_BYTES], body[-_END_BYTES:]))
