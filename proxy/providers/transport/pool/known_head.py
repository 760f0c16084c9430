"""The head of an answer that llhttp has read once, as a pattern for the next ones.

A provider answers with the same names again and again, and only some values are others. A head that fits the pattern of
one before it is framed like that one, so nothing has to be called for each header. Whatever does not fit, be it by one
odd byte, goes to llhttp from its first byte on.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from proxy.core.name_cache import NameCache
from proxy.wire.headers import passed_name

_STATUS_LINE: Final = "HTTP/1.1 200 OK"
_HEAD_MAX_BYTES: Final = 8 << 10  # so that no value is too long for a client
_LINE: Final = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ([!-~](?:[ -~]*[!-~])?)")
_CHUNK: Final = re.compile(rb"([0-9a-fA-F]{1,8})\r\n")
_LAST_CHUNK: Final = b"\r\n0\r\n\r\n"
_ROOM_BYTES: Final = 128  # by which a head may be longer than the longest that llhttp has read: most are much alike
# A value without spaces around it: they are none of it. It holds no control, which llhttp may refuse.
_VALUE: Final = "([!-~][ -~]*)(?<! )"
_LENGTH: Final = "([0-9]{1,9})"
_GAP: Final = "\0"  # in place of a value that is open
# what says how a message is framed and what its bytes are: of a pattern it is a part, with its value
_FIXED: Final = frozenset(("connection", "keep-alive", "proxy-connection", "transfer-encoding", "te", "content-type"))
_REFUSED: Final = frozenset(("content-encoding", "upgrade", "trailer"))  # what is seldom there is left to llhttp

Line = tuple[str, str | None]
"""Of a head: the name of a header as it was written, and its value where that belongs to the pattern."""

WholeAnswer = tuple[tuple[str, ...], dict[str, str], bytes]
"""An answer that came in one piece: those of its values that the pattern leaves open, in their order; all its values
by their names, of several with one name the first; its body.
"""


class KnownHead:
    """All heads that have these lines, and other values only where a line has none."""

    __slots__ = (
        "_fixed",
        "_length_at",
        "_lines",
        "_match",
        "_most_bytes",
        "_open",
        "_passed",
        "_passed_rest",
        "_start",
    )

    def __init__(self, lines: tuple[Line, ...]) -> None:
        names = [name.lower() for name, _ in lines]
        opened = [name for name, (_, value) in zip(names, lines, strict=True) if value is None]
        places = iter(range(len(opened)))
        # the names in lower case, and of each the value, or its place among those that are open
        self._lines = [
            (name, next(places) if line[1] is None else line[1]) for name, line in zip(names, lines, strict=True)
        ]
        self._length_at = opened.index("content-length") if "content-length" in opened else None
        start, *rest = _pieces(
            (_STATUS_LINE, *(f"{name}: {_GAP if value is None else value}" for name, value in lines), "")
        )
        values = [_LENGTH if name == "content-length" else _VALUE for name in opened]
        self._start = start.encode()
        self._match = re.compile(
            "".join(value + re.escape(text) for value, text in zip(values, rest, strict=True))
        ).match
        self._most_bytes = 0
        firsts = dict(reversed(self._lines))
        self._fixed = {name: value for name, value in firsts.items() if isinstance(value, str)}
        self._open = tuple((name, at) for name, at in firsts.items() if isinstance(at, int))
        # what a client gets; of several with one name the last
        passed = {name: value for own, value in self._lines if (name := passed_name(own)) is not None}
        self._passed, *rest = _pieces(
            f"{name}: {_GAP if isinstance(value, int) else value}" for name, value in passed.items()
        )
        self._passed_rest = tuple(zip((at for at in passed.values() if isinstance(at, int)), rest, strict=True))

    def read(self, data: bytes) -> WholeAnswer | None:
        """Return the answer that data is, from its first byte to its last; None: it has to be read by llhttp."""
        start = self._start
        start_bytes = len(start)
        if data[:start_bytes] != start:
            return None
        found = self._match(data[: self._most_bytes].decode("latin-1"), start_bytes)
        if found is None:
            return None
        values, body, at = found.groups(), data[found.end() :], self._length_at
        if at is not None:
            is_whole = values[at] == f"{len(body)}"  # read as a number it would take twice as long
        else:
            chunk = _CHUNK.match(body)
            if chunk is None:
                return None
            stop = chunk.end() + int(chunk[1], 16)
            body, is_whole = body[chunk.end() : stop], body[stop:] == _LAST_CHUNK
        if not is_whole or not body:
            return None
        by_name = self._fixed.copy()
        for name, at in self._open:
            by_name[name] = values[at]
        return values, by_name, body

    def begin(self, data: bytes) -> tuple[tuple[str, ...], dict[str, str], int] | None:
        """Return what read() does of a head alone, and where its body begins; None: it has to be read by llhttp."""
        start = self._start
        start_bytes = len(start)
        if data[:start_bytes] != start:
            return None
        found = self._match(data[: self._most_bytes].decode("latin-1"), start_bytes)
        if found is None:
            return None
        values, by_name = found.groups(), self._fixed.copy()
        for name, at in self._open:
            by_name[name] = values[at]
        return values, by_name, found.end()

    def widen(self, head_bytes: int) -> None:
        """Fit heads of this length and somewhat more."""
        self._most_bytes = min(_HEAD_MAX_BYTES, max(self._most_bytes, head_bytes + _ROOM_BYTES))

    def headers(self, values: tuple[str, ...]) -> list[tuple[str, str]]:
        """Return all headers in their order, names in lower case; values: those that the pattern leaves open."""
        return [(name, values[value] if isinstance(value, int) else value) for name, value in self._lines]

    def passed_lines(self, values: tuple[str, ...]) -> str:
        """Return the lines that a client gets, each with its end."""
        lines = self._passed
        for at, text in self._passed_rest:
            lines = f"{lines}{values[at]}{text}"
        return lines


def _pieces(lines: Iterable[str]) -> list[str]:
    """Return lines, each with its end, cut where they have gaps."""
    return "".join(f"{line}\r\n" for line in lines).split(_GAP)


_heads: Final = NameCache(KnownHead)


class LearntHeads:
    """The patterns that the connections to one origin have learnt last: of answers in one piece, and of streams."""

    __slots__ = ("stream", "whole")

    def __init__(self) -> None:
        self.whole: KnownHead | None = None
        self.stream: KnownHead | None = None


def known_head(data: bytes, headers: Sequence[tuple[str, str]]) -> KnownHead | None:
    """Return the pattern of a whole answer that llhttp has read as these headers; None: it is not plain enough."""
    head = _pattern(data, headers)
    whole = None if head is None else head.read(data)
    return head if head is not None and whole is not None and head.headers(whole[0]) == [*headers] else None


def known_stream_head(data: bytes, headers: Sequence[tuple[str, str]]) -> KnownHead | None:
    """Return the same of an answer in chunks, of which the begin has come."""
    head = _pattern(data, headers) if ("transfer-encoding", "chunked") in headers else None
    begun = None if head is None else head.begin(data)
    return head if head is not None and begun is not None and head.headers(begun[0]) == [*headers] else None


def _pattern(data: bytes, headers: Sequence[tuple[str, str]]) -> KnownHead | None:
    """Return the pattern of the head that data begins with; None: it is not plain enough."""
    end = data.find(b"\r\n\r\n", 0, _HEAD_MAX_BYTES)
    status_line, *texts = data[:end].decode("latin-1").split("\r\n")
    found = [_LINE.fullmatch(text) for text in texts]
    if end < 0 or status_line != _STATUS_LINE or not all(found):
        return None
    lines: list[Line] = []
    for match in filter(None, found):
        name, value = match.groups()
        lines.append((name, value if name.lower() in _FIXED else None))
    names = [name.lower() for name, _ in lines]
    is_chunked = ("transfer-encoding", "chunked") in headers
    if not _REFUSED.isdisjoint(names) or names.count("content-length") + names.count("transfer-encoding") != 1:
        return None
    if is_chunked is ("content-length" in names):
        return None
    head = _heads[tuple(lines)]
    head.widen(end)
    return head
