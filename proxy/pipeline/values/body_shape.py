"""What a client's bodies have in common that differ in one text of a message alone: it is looked at once.

A program that asks the same of one text after the other sends bodies that are the same, byte for byte, but for that
text. All that is checked of a body but its JSON is about what stands around the text: keys and their order, numbers,
types, models, bounds. So what was found of one body with some text there holds for each with another, as long as the
text ends where it did. Whatever does not fit is read the general way, which says what is wrong.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson
from msgspec import Struct

from proxy.policy.pricing import NOT_PLAIN, plain_maximum
from proxy.wire.body import BodyError, check_chat, dump_body, parse_sized

_IN_ROW: Final = frozenset(("metadata", "session_id", "user"))  # fields of a body that go into the row
_QUOTE = ord('"')
_BACKSLASH = ord("\\")

Frame = tuple[bytes, bytes]
"""What is written before a text, and what behind it."""


class BodyShape(Struct, eq=False):
    """The bytes of a chat's body around one text, and what follows from them.

    spaces: how many of the bytes dump_body() leaves out. maximum: as of plain_row_maximum(). plan: what held last for
    bodies of this shape (pipeline/plan.py). sent: how the last one was sent (pipeline/upstream/send.py).
    """

    before: bytes
    behind: bytes
    before_bytes: int
    behind_bytes: int
    spaces: int
    maximum: int | None
    plan: Any = None
    sent: Any = None

    def parse(self, raw: bytes) -> tuple[dict[str, Any], bytes | None] | None:
        """Return the checked body, with every number and key as it was sent; None: it has to be read in full.

        Beside it is the text as it stands in raw, where dump_body() writes the same of it; else None.
        """
        start, end = self.before_bytes, len(raw) - self.behind_bytes
        if raw[:start] != self.before or raw[end:] != self.behind or end < start:
            return None
        text = raw[start:end]
        if _QUOTE in text or text[-1:] == b"\\":  # it may end elsewhere
            return None
        try:
            body: dict[str, Any] = orjson.loads(raw)
        except orjson.JSONDecodeError:
            return None
        return body, None if _BACKSLASH in text else text

    def probe(self) -> tuple[dict[str, Any], bytes]:
        """Return a body of the shape, and its text, which is longer than any other one of it."""
        text = b"x" * (self.before_bytes + self.behind_bytes)
        return orjson.loads(self.before + text + self.behind), text


def frame_of(written: bytes, text: bytes) -> Frame | None:
    """Return what is written around a text; None: it does not stand there exactly once, alone between quotes."""
    before, _, behind = written.partition(text)
    return (before, behind) if before[-1:] == behind[:1] == b'"' and text not in behind else None


def body_shape(one: bytes, other: bytes) -> BodyShape | None:
    """Return the shape of two bodies of chats that differ in one text, or nowhere; None: they differ elsewhere."""
    both = min(len(one), len(other))
    ahead = _same_bytes(one, other, len(other) // 2 if one == other else both)
    start = other.rfind(b'"', 0, ahead) + 1
    end = other.find(b'"', len(other) - _same_bytes(one[::-1], other[::-1], both - ahead))
    if not start or end < start or _QUOTE in other[start:end]:
        return None
    before, behind = other[:start], other[end:]
    text = b"x" * (len(other) + 1)  # longer than any other text of the body
    probe = before + text + behind
    try:
        body, written_bytes = parse_sized(probe)
        check_chat(body)
        again = orjson.loads(probe)
    except (BodyError, orjson.JSONDecodeError):  # the second: behind a byte order mark
        return None
    if dump_body(again) != dump_body(body):  # a number is not what the fast parse makes of it
        return None
    if not _is_within(text.decode(), body["messages"]):  # it is a name, or a text that says what is to be done
        return None
    spaces = len(probe) - written_bytes
    return BodyShape(before, behind, len(before), len(behind), spaces, plain_row_maximum(body))


def plain_row_maximum(body: Mapping[str, Any]) -> int | None:
    """Return what plain_maximum() does of a chat; NOT_PLAIN also where the row tells more of the body."""
    return plain_maximum(body, "chat") if _IN_ROW.isdisjoint(body) else NOT_PLAIN


def _is_within(text: str, value: Any) -> bool:
    """Return whether a text is a value somewhere in one."""
    if isinstance(value, dict):
        value = list(value.values())
    return any(_is_within(text, one) for one in value) if isinstance(value, list) else value == text


def _same_bytes(one: bytes, other: bytes, most: int) -> int:
    """Return with how many of the same bytes both begin, at most so many."""
    least = 0
    while least < most:
        middle = (least + most + 1) // 2
        if one[:middle] == other[:middle]:
            least = middle
        else:
            most = middle - 1
    return least
