"""The head of an answer that llhttp has read once, as a pattern for the next ones.

A provider answers with the same names again and again, and only some values are others. A head that fits the pattern of
one before it is framed like that one, so nothing has to be called for each header. Whatever does not fit, be it by one
odd byte, goes to llhttp from its first byte on.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from proxy.core.name_cache import NameCache
from proxy.wire.headers import passed_name

_new_tuple = tuple.__new__  # read from its class it would take longer than the call
_STATUS_LINE: Final = "HTTP/1.1 200 OK"
_HEAD_MAX_BYTES: Final = 8 << 10  # so that no value is too long for a client
_LINE: Final = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ([!-~](?:[ -~]*[!-~])?)")
_CHUNK: Final = re.compile(rb"([0-9a-fA-F]{1,8})\r\n")
_LAST_CHUNK: Final = b"\r\n0\r\n\r\n"
# what says how a message is framed and what its bytes are: of a pattern it is a part, with its value
_FIXED: Final = frozenset(("connection", "keep-alive", "proxy-connection", "transfer-encoding", "te", "content-type"))
_REFUSED: Final = frozenset(("content-encoding", "upgrade", "trailer"))  # what is seldom there is left to llhttp

Line = tuple[str, str | None]
"""Of a head: the name of a header as it was written, and its value where that belongs to the pattern."""


class WholeAnswer(NamedTuple):
    """An answer that came in one piece. values: of its headers, in their order; text: its head as it was written.

    by_name: its values by their names, of several with one name the first.
    """

    values: tuple[str, ...]
    by_name: dict[str, str]
    text: str
    body: bytes


class KnownHead:
    """All heads that have these lines, and other values only where a line has none."""

    __slots__ = ("_length_at", "_match", "_names_back", "labels", "names", "passed")

    def __init__(self, lines: tuple[Line, ...]) -> None:
        self.names = tuple(name.lower() for name, _ in lines)
        self._names_back = self.names[::-1]
        self._length_at = self.names.index("content-length") if "content-length" in self.names else None
        values = [
            "([0-9]{1,9})" if at == self._length_at else "(.*)" if value is None else f"({re.escape(value)})"
            for at, (_, value) in enumerate(lines)
        ]
        texts = [f"{re.escape(name)}: {value}" for (name, _), value in zip(lines, values, strict=True)]
        self._match = re.compile("\r\n".join((re.escape(_STATUS_LINE), *texts))).fullmatch
        # which values a client gets, and under which names; of several with one name the last
        self.passed = {name: at for at, own in enumerate(self.names) if (name := passed_name(own)) is not None}
        self.labels = tuple((at, f"{name}: ") for name, at in self.passed.items())

    def read(self, data: bytes) -> WholeAnswer | None:
        """Return the answer that data is, from its first byte to its last; None: it has to be read by llhttp."""
        head, _, body = data.partition(b"\r\n\r\n")
        if len(head) > _HEAD_MAX_BYTES or not head.isascii():
            return None
        text = head.decode()
        found = self._match(text)
        if found is None or " \r\n" in text or ":  " in text or text[-1] == " ":  # spaces around a value are none of it
            return None
        values = found.groups()
        if not "".join(values).isprintable():  # a control, which llhttp may refuse
            return None
        if self._length_at is not None:
            is_whole = len(body) == int(values[self._length_at])
        else:
            chunk = _CHUNK.match(body)
            if chunk is None:
                return None
            stop = chunk.end() + int(chunk[1], 16)
            body, is_whole = body[chunk.end() : stop], body[stop:] == _LAST_CHUNK
        if not is_whole or not body:
            return None
        by_name = dict(zip(self._names_back, values[::-1]))  # noqa: B905 - one each, and strict takes as long again
        return _new_tuple(
            WholeAnswer, (values, by_name, text, body)
        )  # what WholeAnswer(…) comes to, without the call between


_heads: Final = NameCache(KnownHead)


def known_head(data: bytes, headers: Sequence[tuple[str, str]]) -> KnownHead | None:
    """Return the pattern of a whole answer that llhttp has read as these headers; None: it is not plain enough."""
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
    whole = head.read(data)
    return head if whole is not None and [*zip(head.names, whole.values, strict=True)] == [*headers] else None
