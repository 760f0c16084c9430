"""What a client says about its request outside the body: use case, session, tags."""

from collections.abc import Mapping
from typing import Any

import orjson
from msgspec.structs import replace

from proxy.core.errors import CallerError
from proxy.core.text import fit_text, header_text
from proxy.pipeline.values.request_headers import Headers, RequestHeaders
from proxy.pipeline.values.tags import Tags

_TEXT_CHARS_MAX = 256  # the length of a session id at OpenRouter
_TAGS_MAX = 16  # as OpenAI's metadata
_NAME_CHARS_MAX = 64
_SESSION_HEADERS = ("x-session-id", "session-id", "session_id", "X-OpenWebUI-Chat-Id")


def read_tags(request_headers: RequestHeaders, body: Mapping[str, Any]) -> Tags:
    """Read the tags; raises CallerError where X-Tollkeeper-Tags is not k=v,k=v."""
    tags = request_headers.tags
    if tags is None:
        tags = request_headers.tags = _read_headers(request_headers.headers)
    session = body.get("session_id")
    if not isinstance(session, str):
        return tags
    return replace(tags, session_id=fit_text(session, _TEXT_CHARS_MAX) or None)  # the body wins, as at OpenRouter


def pairs_of(tags: Tags, body: Mapping[str, Any]) -> str | None:
    """Return the row's tags, a JSON object of strings: from the header, then the body's metadata, then its user.

    body is the one that goes out: what a preset's prompt took from metadata is part of a prompt, and no tag.
    """
    metadata, user = body.get("metadata"), body.get("user")
    if metadata is None and user is None:
        return tags.pairs
    found: dict[str, str] = {} if tags.pairs is None else orjson.loads(tags.pairs)
    given = {**({"user": user} if isinstance(user, str) else {}), **(metadata if isinstance(metadata, dict) else {})}
    for name, value in given.items():
        if len(found) < _TAGS_MAX and isinstance(value, str) and name:
            found.setdefault(fit_text(name, _NAME_CHARS_MAX), fit_text(value, _TEXT_CHARS_MAX))
    return orjson.dumps(found).decode() if found else None


def _read_headers(headers: Headers) -> Tags:
    use_case = headers.get("X-Tollkeeper-Use-Case")
    pairs = headers.get("X-Tollkeeper-Tags")
    session = next((value for name in _SESSION_HEADERS if (value := headers.get(name))), None)
    return Tags(
        _text(use_case) if use_case else None,
        _text(session) if session else None,
        _pairs(header_text(pairs)) if pairs else None,
        _key(headers),
    )


def _text(value: str) -> str:
    """Return a header's value as a row may hold it."""
    return fit_text(header_text(value), _TEXT_CHARS_MAX)


def _key(headers: Headers) -> str | None:
    keys = set(headers.getall("Idempotency-Key", ()))
    if len(keys) > 1:
        raise CallerError(400, "invalid_header", "The request has several different Idempotency-Key headers. Send one.")
    return keys.pop() if keys else None


def _pairs(text: str) -> str:
    found: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise CallerError(400, "invalid_tags", "X-Tollkeeper-Tags must read key=value,key=value.")
        found[fit_text(name.strip(), _NAME_CHARS_MAX)] = fit_text(value.strip(), _TEXT_CHARS_MAX)
    if len(found) > _TAGS_MAX:
        raise CallerError(
            400, "invalid_tags", f"X-Tollkeeper-Tags holds {len(found)} tags; at most {_TAGS_MAX} are kept."
        )
    return orjson.dumps(found).decode()
