"""What all meters of streams have in common: events that differ in their texts alone pass without being read."""

import re
from operator import ne
from typing import Final

from proxy.wire.text_size import LARGE_BYTES, bytes_of_text

_FRAMES_MAX: Final = 6  # a provider whose events differ in more than their texts is not asked again and again
_COLON: Final = ord(":")
_NUMBER: Final = re.compile(rb"([ \t]*:[ \t]*)[0-9.]+([ \t]*[,}\]].*)", re.DOTALL)  # behind a key, up to the next quote
_TELLING: Final = (b"type", b"object", b"event", b"status", b"code", b"reason", b"error", b"model", b"provider")


class FramedMeter:
    """Once content has come, an event that differs from the last ones in its texts and numbers alone is not read.

    What stands around them is learnt from two events that said nothing of interest. Another event with the same is as
    silent, whatever its texts are, as long as they hold no colon: neither a field nor a line of data can begin in them,
    even where one ends the string or the event that it stands in.
    """

    __slots__ = (
        "_frame",
        "_frames_left",
        "_known_max_bytes",
        "_last_event",
        "_max_event_bytes",
        "_nothing_begun",
        "cuts",
        "data_lines",
        "told_bytes",
    )

    def __init__(self, max_event_bytes: int) -> None:
        self._max_event_bytes = max_event_bytes
        self._known_max_bytes = min(max_event_bytes, LARGE_BYTES)  # a large event is looked at closely
        self.cuts = False  # something of each event is taken out
        self._nothing_begun = False  # content was seen, and the last chunk ended with an event
        # of an event that is known its begin and its end, both with their lengths, and what stands between its texts
        self._frame: tuple[bytes | None, int, bytes, int, tuple[bytes, ...]] = (None, 0, b"", 0, ())
        self._last_event = b""  # the last one that was not known
        self._frames_left = _FRAMES_MAX  # how often a frame may still be learnt
        self.data_lines = 0
        self.told_bytes = 0  # of events that may hold text

    def feed(self, chunk: bytes) -> bytes:
        """Read the next bytes from upstream and return those that may go to the client now."""
        if not self._nothing_begun:
            return self._feed_closely(chunk)
        size_bytes = len(chunk)
        if self.knows(chunk, 0, size_bytes):
            return self._cut(chunk) if self.cuts else chunk
        if chunk[-2:] == b"\n\n" and size_bytes <= self._max_event_bytes and self._passes(chunk):
            lines = chunk.count(b"data:")
            self.data_lines += lines
            if size_bytes > LARGE_BYTES:
                self.told_bytes += bytes_of_text(chunk)
            elif lines:
                self.told_bytes += size_bytes
            if self._frames_left:
                self._learn(chunk[: chunk.find(b"\n\n") + 2])
            return self._cut(chunk) if self.cuts else chunk
        return self._feed_closely(chunk)

    def knows(self, read: bytes, start: int, end: int) -> bool:
        """Return whether what stands there is an event that is known, and count it: it is not to be fed any more.

        If nothing is cut it may go to the client as it came.
        """
        before, before_bytes, behind, behind_bytes, between = self._frame
        at, behind_at = start + before_bytes, end - behind_bytes
        if (
            read[start:at] != before
            or read[behind_at:end] != behind
            or at > behind_at
            or not self._nothing_begun
            or end - start > self._known_max_bytes
        ):
            return False
        for part in between:
            found = read.find(part, at, behind_at)
            if found < 0 or _COLON in read[at:found]:
                return False
            at = found + len(part)
        if _COLON in read[at:behind_at]:
            return False
        self.data_lines += 1
        self.told_bytes += end - start
        return True

    def _feed_closely(self, chunk: bytes) -> bytes:
        """Return as feed() does, whatever comes."""
        raise NotImplementedError

    def _passes(self, events: bytes) -> bool:
        """Return whether complete events, once content was seen, need no reading."""
        raise NotImplementedError

    def _cut(self, events: bytes) -> bytes:
        """Return complete events that need no reading, without what is taken out of each."""
        raise NotImplementedError

    def _learn(self, event: bytes) -> None:
        """Keep what a silent event has in common with the last one."""
        self._frames_left -= 1
        frame = frame_of(self._last_event, event) if event.count(b"data:") == 1 else ()
        self._last_event = event
        if len(frame) > 1:
            before, *between, behind = frame
            self._frame = before, len(before), behind, len(behind), tuple(between)


def frame_of(one: bytes, other: bytes) -> tuple[bytes, ...]:
    """Return the pieces that two events have in common, around the texts and numbers in which they differ.

    Empty where they differ in anything else: in a key, or in a word that tells what kind of event it is.
    """
    pieces, others = one.split(b'"'), other.split(b'"')
    if len(pieces) != len(others):
        return ()
    differs = [*map(ne, pieces, others)]
    found: list[bytes] = []
    start, begin, n = 0, b"", -1  # the common piece begins so, and goes on with this piece
    for _ in range(differs.count(True)):
        n = differs.index(True, n + 1)
        piece, another = pieces[n], others[n]
        before, behind = b'"' if n else b"", b""
        if n % 2:  # within quotes
            key_at = n - 2
            if pieces[n - 1].strip() != b":" or _is_key(pieces, n):
                return ()
        else:
            key_at = n - 1
            told, another_told = _NUMBER.fullmatch(piece), _NUMBER.fullmatch(another)
            if told is None or another_told is None or told.groups() != another_told.groups():
                return ()
            before, behind = before + told[1], told[2]
        if key_at < 0 or pieces[key_at].endswith(_TELLING):
            return ()
        found.append(begin + _joined(pieces, start, n) + before)
        start, begin = n + 1, behind
    return (*found, begin + _joined(pieces, start, len(pieces)))


def _joined(pieces: list[bytes], start: int, end: int) -> bytes:
    """Return some pieces as they stood, with the quotes around them but the last."""
    return b'"'.join(pieces[start:end] if not start else [b"", *pieces[start:end]]) if end > start else b""


def _is_key(pieces: list[bytes], n: int) -> bool:
    return n + 1 >= len(pieces) or pieces[n + 1].lstrip()[:1] == b":"
