"""What all meters of streams have in common: events that differ in their texts alone pass without being read."""

import re
from collections.abc import Mapping
from operator import ne
from typing import Final

from proxy.wire.chunk_head import CHUNK_HEAD_BYTES, ChunkShapes, ChunkSpan, chunk_shapes, chunk_spans
from proxy.wire.text_size import LARGE_BYTES, bytes_of_text

_FRAMES_MAX: Final = 6  # a provider whose events differ in more than their texts is not asked again and again
_COLON: Final = ord(":")
_NUMBER: Final = re.compile(rb"([ \t]*:[ \t]*)[0-9.]+([ \t]*[,}\]].*)", re.DOTALL)  # behind a key, up to the next quote
_TELLING: Final = (b"type", b"object", b"event", b"status", b"code", b"reason", b"error", b"model", b"provider")
_NOTHING: Final = (0, 0, 0)
_NONE_KNOWN: Final = (None, b"", (), chunk_shapes[_NOTHING], chunk_spans[_NOTHING])


class FramedMeter:
    """Once content has come, an event that differs from the last ones in its texts and numbers alone is not read.

    What stands around them is learnt from two events that said nothing of interest. Another event with the same is as
    silent, whatever its texts are, as long as they hold no colon: neither a field nor a line of data can begin in them,
    even where one ends the string or the event that it stands in.
    """

    __slots__ = (
        "_frame",
        "_frames_left",
        "_in_chunks",
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
        # the same of a chunk that is one, and where these are
        self._in_chunks: tuple[bytes | None, bytes, tuple[bytes, ...], ChunkShapes, Mapping[bytes, ChunkSpan]] = (
            _NONE_KNOWN
        )
        self._last_event = b""  # the last one that was not known
        self._frames_left = _FRAMES_MAX  # how often a frame may still be learnt
        self.data_lines = 0
        self.told_bytes = 0  # of events that may hold text

    def feed(self, chunk: bytes) -> bytes:
        """Read the next bytes from upstream and return those that may go to the client now."""
        if not self._nothing_begun:
            return self._feed_closely(chunk)
        size_bytes = len(chunk)
        if self._knows(chunk, size_bytes):
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

    def knows_chunks(self, read: bytes) -> bool:
        """Return whether a read is whole chunks of HTTP/1.1, each an event that is known, and nothing is cut of them.

        They are counted then, and not to be fed any more.
        """
        if not self._nothing_begun:
            return False
        before, behind, between, shapes, spans = self._in_chunks
        pieces, first_line, size_bytes = shapes[len(read)]
        line, begin, text, end_ = pieces(read)
        if line == first_line and not between:  # one alone, as nearly always: with a line end in its text it is another
            if begin != before or end_ != behind or _COLON in text:
                return False
            self.data_lines += 1
            self.told_bytes += size_bytes
            return True
        at, end, events, told_bytes = 0, len(read), 0, 0
        while at < end:
            payload_at, text_at, text_end, next_at, size_bytes = spans[read[at : at + CHUNK_HEAD_BYTES]]
            text_at += at
            text_end += at
            if read[at + payload_at : text_at] != before:
                return False
            at += next_at
            if read[text_end:at] != behind:
                return False
            if between:
                text_at = _behind_last(between, read, text_at, text_end)
                if text_at < 0:
                    return False
            if _COLON in read[text_at:text_end]:
                return False
            events += 1
            told_bytes += size_bytes
        self.data_lines += events
        self.told_bytes += told_bytes
        return True

    def _knows(self, event: bytes, size_bytes: int) -> bool:
        """Return whether an event, or what else came, is one that is known, and count it."""
        before, at, behind, behind_bytes, between = self._frame
        end = size_bytes - behind_bytes
        if event[:at] != before or event[end:] != behind or at > end or size_bytes > self._known_max_bytes:
            return False
        at = _behind_last(between, event, at, end)
        if at < 0 or _COLON in event[at:end]:
            return False
        self.data_lines += 1
        self.told_bytes += size_bytes
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
            known = len(before), len(behind), self._known_max_bytes
            self._in_chunks = before, behind + b"\r\n", tuple(between), chunk_shapes[known], chunk_spans[known]


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


def _behind_last(pieces: tuple[bytes, ...], read: bytes, at: int, end: int) -> int:
    """Return where the last of some pieces ends that follow one another, with no colon between; -1: they do not."""
    for piece in pieces:
        found = read.find(piece, at, end)
        if found < 0 or _COLON in read[at:found]:
            return -1
        at = found + len(piece)
    return at


def _joined(pieces: list[bytes], start: int, end: int) -> bytes:
    """Return some pieces as they stood, with the quotes around them but the last."""
    return b'"'.join(pieces[start:end] if not start else [b"", *pieces[start:end]]) if end > start else b""


def _is_key(pieces: list[bytes], n: int) -> bool:
    return n + 1 >= len(pieces) or pieces[n + 1].lstrip()[:1] == b":"
