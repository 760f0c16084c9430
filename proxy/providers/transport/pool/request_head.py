"""The head of a request as bytes. What could end a line early, or say where the message ends, is refused here."""

import re
from collections.abc import Mapping
from functools import lru_cache

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})  # HEAD and CONNECT change how answers end
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})  # these say Content-Length: 0 where there is none
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, 5.6.2
_OWN = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "expect"})


class HeaderRefusedError(ValueError):
    """A header that must not be sent; the text names it and never shows its value."""


@lru_cache(maxsize=512)
def _field(name: str) -> str:
    """Return ``name: `` for a name that is legal in a request."""
    if not _TOKEN.fullmatch(name):
        raise HeaderRefusedError(f"a header's name is not a token: {name[:80]!r}")
    if name.lower() in _OWN:
        raise HeaderRefusedError(f"the header {name} is the transport's own")
    return f"{name}: "


def request_head(method: str, target: str, host: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """Return request line and headers with the empty line; raises HeaderRefusedError, or ValueError for the method."""
    if method not in _METHODS:
        raise ValueError(f"method {method!r} cannot be sent")
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    for name, value in headers.items():
        lines.append(_field(name) + value)
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    elif method in _WITH_BODY:
        lines.append("Content-Length: 0")
    count = len(lines) + 1
    lines.append("\r\n")
    text = "\r\n".join(lines)
    # One look at the whole for what no value may hold: a line more than was written, or a NUL.
    if text.count("\n") != count or text.count("\r") != count or "\0" in text:
        _blame(headers)
    return text.encode("utf-8", "surrogateescape")  # as aiohttp writes them; surrogates are a client's raw bytes


def _blame(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if any(mark in value for mark in "\r\n\0"):
            raise HeaderRefusedError(f"the value of header {name} holds a line break or NUL")
    raise ValueError("target or host holds a line break or NUL")
