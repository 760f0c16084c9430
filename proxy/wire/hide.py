"""Take usage out of an event, for a caller who did not ask for it.

Where OpenAI's ``stream_options.include_usage`` was put in by the proxy, the stream has one chunk more (usage
and an empty ``choices``) and ``"usage": null`` in every other. Bytes are cut out, nothing is written anew:
what stays is as it came.
"""

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import orjson

from proxy.wire.sse import data_spans

_NULL_USAGE: Final = b',"usage":null'
_MAX_CANDIDATES: Final = 8  # each is parsed whole; an event full of the word must not stop the loop
_COLON: Final = re.compile(rb"\s*:\s*")
_SPACE: Final = b" \t\r\n"
_LEADING_COMMA: Final = re.compile(rb"\A\s*,\s*")
_VALUE: Final = json.JSONDecoder()


def without_usage(event: bytes) -> bytes:
    """Give the event without the usage at the top of its JSON; b"" if it came for the usage only."""
    spans = data_spans(event)
    if not spans:
        return event
    start, end = spans[0][0], spans[-1][1]
    # A line end between two data lines is white space to JSON, so both may become one line.
    data = b" ".join([event[slice(*span)] for span in spans])
    shorter = _cut_null(data) or _cut(data)
    if shorter is None:
        return event
    return event[:start] + shorter + event[end:] if shorter else b""


def _cut_null(data: bytes) -> bytes | None:
    """Cut ``,"usage":null`` without parsing, where it surely stands at the top level.

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


def _cut(data: bytes) -> bytes | None:
    """Give data without usage, b"" if there is nothing else to tell, None if there is no usage to cut."""
    message = _load(data)
    if not isinstance(message, dict) or "usage" not in message:
        return None
    usage = message.pop("usage")
    if usage is not None and not message.get("choices") and not message.get("error"):
        return b""
    for candidate in islice(_candidates(data), _MAX_CANDIDATES):
        if _load(candidate) == message:
            return candidate
    return orjson.dumps(message)  # usage given twice, or named all over: no single cut takes it out


def _load(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return None


def _candidates(data: bytes) -> Iterator[bytes]:
    """Give data with one member named usage taken out, for each that there is at any depth."""
    at = -1
    while (at := data.find(b'"usage"', at + 1)) >= 0:
        colon = _COLON.match(data, at + len(b'"usage"'))
        if colon is None:
            continue
        rest = data[colon.end() :].decode()
        try:
            _, length = _VALUE.raw_decode(rest)
        except (ValueError, RecursionError):
            continue
        end = colon.end() + len(rest[:length].encode())
        before = data[:at].rstrip(_SPACE)
        if before.endswith(b","):
            yield before[:-1] + data[end:]
        else:
            yield data[:at] + _LEADING_COMMA.sub(b"", data[end:])
