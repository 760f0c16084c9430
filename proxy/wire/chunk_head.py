"""Chunks of HTTP/1.1 in a read: where payloads begin and end, and which reads are whole chunks."""

from collections.abc import Callable, Sequence
from functools import partial
from struct import Struct
from typing import Final

from proxy.core.name_cache import NameCache

CHUNK_HEAD_BYTES: Final = 5
"""So many bytes at the begin of a chunk tell its size, if that has two or three digits."""
_SIZES_MAX: Final = 512  # of payloads, kept for one kind of events
_KINDS_MAX: Final = 32
_HEX: Final = b"0123456789abcdef"
_END: Final = b"\r\n"


ChunkSpan = tuple[int, int, int, int, int]
"""Places in a chunk, from its first byte on: where its payload begins, where what differs within that begins and ends,
the chunk's end, and how large the payload is. A plain tuple: a named one takes several times as long to unpack."""
NO_SPAN: Final[ChunkSpan] = (0, 0, 0, 0, 0)


def _span(before_bytes: int, behind_bytes: int, most_bytes: int, begin: bytes) -> ChunkSpan:
    """Return the span of the chunk that begins with these CHUNK_HEAD_BYTES; NO_SPAN where they do not tell.

    Only the plainest form counts: two or three digits, none more than needed. before_bytes, behind_bytes: how much of
    a payload is known to be at its begin and at its end; most_bytes: how large it may be.
    """
    digits, end, _ = begin.partition(b"\r\n")
    if not end or not 2 <= len(digits) <= 3 or digits[:1] == b"0" or digits.strip(_HEX):
        return NO_SPAN
    size_bytes, payload_at = int(digits, 16), len(digits) + 2
    text_at, text_end = payload_at + before_bytes, payload_at + size_bytes - behind_bytes
    if text_at > text_end or size_bytes > most_bytes:
        return NO_SPAN
    return payload_at, text_at, text_end, payload_at + size_bytes + 2, size_bytes


def _spans(known_bytes: tuple[int, int, int]) -> NameCache[bytes, ChunkSpan]:
    return NameCache(partial(_span, *known_bytes), _SIZES_MAX)


chunk_spans: Final = NameCache(_spans, _KINDS_MAX)
"""By how many bytes of a payload are known at its begin and its end, and how large it may be: spans by the bytes that a
chunk begins with.

They are the same for all streams whose events differ in their texts alone, so one stream needs none of its own.
"""


ChunkShape = tuple[Callable[[bytes], tuple[bytes, ...]], bytes, int]
"""Of a read that is one chunk: what takes it apart, what its first line has to be, and how large its payload is.

The pieces are the first line, what is known at the begin of the payload, what differs, and what is known at its end,
with the chunk's own end. One call makes them, where a slice takes half as long as that.
"""


def _no_pieces(_read: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    return b"", b"", b"", b""


_NO_SHAPE: Final[ChunkShape] = (_no_pieces, b"none", 0)


class ChunkShapes(dict[int, ChunkShape]):
    """Shapes by the size of a read, for chunks of one kind of events: as chunk_spans has them."""

    __slots__ = ("_before_bytes", "_behind_bytes", "_most_bytes")

    def __init__(self, known_bytes: tuple[int, int, int]) -> None:
        super().__init__()
        self._before_bytes, self._behind_bytes, self._most_bytes = known_bytes

    def __missing__(self, read_bytes: int) -> ChunkShape:
        line = _line_of(read_bytes, self._most_bytes)
        text_bytes = read_bytes - len(line) - self._before_bytes - self._behind_bytes - len(_END)
        if not line or text_bytes < 0:
            return _NO_SHAPE  # which is not kept: reads of several chunks have any size
        if len(self) >= _SIZES_MAX:
            self.clear()
        pieces = Struct(f"{len(line)}s{self._before_bytes}s{text_bytes}s{self._behind_bytes + len(_END)}s")
        shape = self[read_bytes] = pieces.unpack, line, int(line, 16)
        return shape


def _line_of(read_bytes: int, most_bytes: int) -> bytes:
    """Return the line that a read begins with which is one chunk in the plainest form; empty: none has this size."""
    for digits in (2, 3):
        size_bytes = read_bytes - digits - 2 * len(_END)
        if size_bytes <= most_bytes and 16 ** (digits - 1) <= size_bytes < 16**digits:
            return b"%x\r\n" % size_bytes
    return b""


chunk_shapes: Final = NameCache(ChunkShapes, _KINDS_MAX)
"""The same for a read that is one chunk, as nearly each is: shapes by the size of the read."""

_MOST_BYTES: Final = 0xFFF
_any_spans: Final = chunk_spans[0, 0, _MOST_BYTES]
_LAST: Final = b"\r\n0\r\n\r\n"
_LAST_BYTES: Final = len(_LAST) - len(_END)


def payload_of(read: bytes) -> tuple[bytes, bool] | None:
    """Return the payload of a read that begins with a chunk, and whether the message ends with it.

    None: it is not one whole chunk in the plainest form, with or without the last, empty one behind it.
    """
    at, _, end, whole_bytes, _ = _any_spans[read[:CHUNK_HEAD_BYTES]]
    more_bytes = len(read) - whole_bytes
    if not more_bytes:
        return (read[at:end], False) if read[end:] == _END else None
    return (read[at:end], True) if more_bytes == _LAST_BYTES and whole_bytes and read[end:] == _LAST else None


def are_chunks(read: bytes, payloads: Sequence[bytes]) -> bool:
    """Return whether a read, in which a parser found these payloads, is as many whole chunks in the plainest form.

    Then the parser stands between two. Had it been within a chunk before, what looks like the first size would have
    been payload, with its line end; had it been within the digits of a size, so would have been the line end at the
    end.
    """
    first = payloads[0]
    return (
        len(first) > 1
        and first.find(b"\r") < 0
        and read == b"".join([b"%x\r\n%b\r\n" % (len(payload), payload) for payload in payloads])
    )
