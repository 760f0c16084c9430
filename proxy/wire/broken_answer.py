"""An answer in one piece whose JSON is broken, cut off or with something behind it: what it says all the same. Pure."""

import re
from collections.abc import Iterable
from json import JSONDecoder
from typing import Any, Final

from proxy.wire.amount import whole_number

_READ_MAX_BYTES: Final = 1 << 20  # an id stands at the beginning, and Python's parser takes 10 ms for that much
_NAME: Final = re.compile(r'\s*[{,]\s*"((?:[^"\\]|\\.)*)"\s*:\s*')
_decode: Final = JSONDecoder(parse_int=whole_number, strict=False).raw_decode


def broken_id(pieces: Iterable[bytes]) -> str | None:
    """Return the id of the JSON object that begins in these pieces; None where it does not come whole.

    Only the object's own counts: tool calls have others.
    """
    text = _begin_of(pieces).lstrip()
    name = _NAME.match(text) if text[:1] == "{" else None
    while name is not None:
        value, at = _value_at(text, name.end())
        if name[1] == "id":
            return value if value.__class__ is str and value else None
        name = _NAME.match(text, at) if at else None
    return None


def flaw_of(body: bytes) -> str:
    """Return in words why a body that begins as a JSON object is not one."""
    text = body.decode("utf-8-sig", "replace").lstrip()
    _, end = _value_at(text, 0)
    is_followed = end and text[end:].strip()
    return "something follows the JSON of its answer" if is_followed else "the JSON of its answer ended early"


def _begin_of(pieces: Iterable[bytes]) -> str:
    begin = bytearray()
    for piece in pieces:
        begin += piece[:_READ_MAX_BYTES]
        if len(begin) >= _READ_MAX_BYTES:
            break
    return begin.decode("utf-8-sig", "replace")


def _value_at(text: str, at: int) -> tuple[Any, int]:
    """Return the JSON value that begins there, and where it ends; 0 for one that is not whole."""
    try:
        return _decode(text, at)
    except (ValueError, RecursionError):
        return None, 0
