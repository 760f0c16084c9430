"""Decompress what should not be compressed: every request says "Accept-Encoding: identity"."""

import zlib

ENCODINGS = frozenset({"gzip", "x-gzip", "deflate"})

_PIECE_BYTES = 1 << 18  # given out at once, so that a small answer that inflates to gigabytes stays a stream
_GZIP_MAGIC = b"\x1f\x8b"
_TEXT_STARTS = b"{[ \t\r\n:de<n\xef"  # JSON, events, a page, null, a byte order mark: not compressed data


class Inflater:
    """Feed it what came, take out what it says until nothing comes; raises zlib.error for broken data.

    What begins as text is given back as it is: a server that names an encoding and does not use it is read too.
    """

    __slots__ = ("_encoding", "_full", "_input", "_plain", "_undo")

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._input = b""
        self._full = False
        self._plain = False
        self._undo: zlib._Decompress | None = None

    @property
    def ended(self) -> bool:
        """Return whether what came so far is complete."""
        return self._plain or not (self._input or self._undo) or (self._undo is not None and self._undo.eof)

    def feed(self, chunk: bytes) -> None:
        """Add compressed bytes; b"" is the end, which must not come in the middle."""
        if not chunk:
            raise zlib.error("the end came too early")
        self._input += chunk

    def take(self) -> bytes:
        """Return the next piece, b"" if more must be fed first."""
        if not self._plain and self._undo is None:
            self._choose()
        if self._plain:
            given, self._input = self._input, b""
            return given
        if self._undo is None or not (self._input or self._full):
            return b""
        if self._undo.eof:  # several gzip members may follow one another
            if not self._input:  # the last one ended with the piece before
                self._full = False
                return b""
            self._undo = zlib.decompressobj(wbits=31)
        given = self._undo.decompress(self._input, _PIECE_BYTES)
        self._full = len(given) == _PIECE_BYTES
        self._input = self._undo.unused_data if self._undo.eof else self._undo.unconsumed_tail
        return given

    def _choose(self) -> None:
        start = self._input[:2]
        if len(start) < 2:
            self._plain = start != b"" and start in _TEXT_STARTS
        elif start == _GZIP_MAGIC:
            self._undo = zlib.decompressobj(wbits=31)
        elif start[:1] in _TEXT_STARTS:
            self._plain = True
        elif start[0] & 0x0F == 8 and int.from_bytes(start, "big") % 31 == 0:  # RFC 1950, part 2.2
            self._undo = zlib.decompressobj(wbits=15)
        elif self._encoding == "deflate":  # some servers leave zlib's wrapper out
            self._undo = zlib.decompressobj(wbits=-15)
        else:
            self._plain = True
