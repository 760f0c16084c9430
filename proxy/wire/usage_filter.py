"""Remove usage from an event, for a caller who did not ask for it.

Where OpenAI's ``stream_options.include_usage`` was put in by the proxy, the stream has one chunk more (usage and an
empty ``choices``) and ``"usage": null`` in every other. Bytes are cut out and nothing is rewritten: what stays is as it
came. A chunk that says more than the usage stays: citations and timings are the answer's own.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct

from proxy.wire.sse import data_spans

_NULL_USAGE: Final = b',"usage":null'
_WHITE: Final = re.compile(r"[ \t\r\n]*")
_AHEAD: Final = re.compile(rb"(?:(?::[^\r\n]*)?(?:\r\n|\n|\r))*")  # comments and empty lines
_VALUE: Final = json.JSONDecoder(parse_int=str, parse_float=str, strict=False)  # of numbers only their presence
_ENVELOPE: Final = frozenset(  # fields of every chunk that add nothing new
    {"id", "object", "created", "model", "provider", "system_fingerprint", "service_tier", "obfuscation"}
)


class _Member(Struct, frozen=True):
    """One member of the object: where the comma before it stands, its key and its value; all in characters."""

    comma_at: int
    key_at: int
    end: int
    key: str
    value: Any


def without_usage(event: bytes) -> bytes:
    """Return the event without the usage at the top of its JSON; if it told nothing else, the comments ahead of it."""
    spans = data_spans(event)
    if not spans:
        return event
    if len(spans) == 1:
        start, end = spans[0]
        shorter = _cut_null(event[start:end])
        if shorter is not None:
            return event[:start] + shorter + event[end:]
    data = b"\n".join([event[slice(*span)] for span in spans])
    text = data.decode("utf-8", "surrogateescape")
    members = _members(text)
    if members is None or all(member.key != "usage" for member in members):
        return event
    if _tells_only_usage(members):
        ahead = _AHEAD.match(event)
        return b"" if ahead is None else ahead[0]
    return _without(event, spans, [(_bytes_at(text, a), _bytes_at(text, b)) for a, b in _cuts(members)])


def _cut_null(data: bytes) -> bytes | None:
    """Return the event without ``,"usage":null`` if it is certainly at the top level, without parsing; else None.

    That is so if, after it, exactly one bracket of any kind is closed, by the last byte.
    """
    at = data.find(_NULL_USAGE)
    if (
        at < 0
        or not data.startswith(b"{")
        or data.find(b'"usage"', at + len(_NULL_USAGE)) >= 0
        or data.find(b'"usage"', 0, at) >= 0
    ):
        return None
    rest = data[at + len(_NULL_USAGE) :]
    if rest[:1] not in (b",", b"}") or rest.find(b"}") != len(rest) - 1 or b"]" in rest:
        return None
    return data[:at] + rest


def _tells_only_usage(members: list[_Member]) -> bool:
    told = any(member.key == "usage" and member.value is not None for member in members)
    return told and not any(
        member.key not in _ENVELOPE and member.key != "usage" and (member.value or member.value is False)
        for member in members
    )


def _cuts(members: list[_Member]) -> Iterator[tuple[int, int]]:
    """Yield the spans to remove so that the object stays valid: a member with the comma before it or after it."""
    kept = False
    for n, member in enumerate(members):
        if member.key != "usage":
            kept = True
        elif kept:
            yield member.comma_at, member.end
        else:
            yield member.key_at, members[n + 1].key_at if n + 1 < len(members) else member.end


def _without(event: bytes, spans: list[tuple[int, int]], cuts: list[tuple[int, int]]) -> bytes:
    """Return the event without these spans of its data, which its lines make up together; the lines stay."""
    pieces, at, line_at = [], 0, 0
    for start, end in spans:
        for cut_start, cut_end in cuts:
            first, last = max(cut_start - line_at, 0), min(cut_end - line_at, end - start)
            if first < last:
                pieces.append(event[at : start + first])
                at = start + last
        line_at += end - start + 1
    return b"".join([*pieces, event[at:]])


def _bytes_at(text: str, chars: int) -> int:
    return len(text[:chars].encode("utf-8", "surrogateescape"))


def _members(text: str) -> list[_Member] | None:
    """Return the members of a JSON object in their order; None if it is none."""
    try:
        return list(_read_members(text))
    except (ValueError, RecursionError):
        return None


def _read_members(text: str) -> Iterator[_Member]:
    """Yield one member after the other; raises ValueError if the text is not a JSON object."""
    at = comma_at = _expect(text, 0, "{")
    if text[at : at + 1] == "}":
        at = _white(text, at + 1)
    else:
        while True:
            if text[at : at + 1] != '"':
                raise ValueError("a key is not a string")
            key, end = _VALUE.raw_decode(text, at)
            value, end = _VALUE.raw_decode(text, _expect(text, end, ":"))
            yield _Member(comma_at, at, end, key, value)
            comma_at = _white(text, end)
            if text[comma_at : comma_at + 1] == "}":
                at = _white(text, comma_at + 1)
                break
            at = _expect(text, comma_at, ",")
    if at < len(text):
        raise ValueError("something follows the object")


def _white(text: str, at: int) -> int:
    match = _WHITE.match(text, at)
    return at if match is None else match.end()


def _expect(text: str, at: int, sign: str) -> int:
    """Return where what follows a sign begins; raises ValueError if something else stands there."""
    at = _white(text, at)
    if text[at : at + 1] != sign:
        raise ValueError(f"no {sign}")
    return _white(text, at + 1)
