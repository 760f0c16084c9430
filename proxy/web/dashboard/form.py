"""Read what a form of a page sends."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from proxy.core.errors import CallerError
from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import BodyIncompleteError, BodyTooLargeError

BODY_MAX_BYTES: Final = 1 << 18
FIELDS_MAX: Final = 1000
_TIMEOUT_S: Final = 30.0
_TYPE: Final = "application/x-www-form-urlencoded"
_ALLOWED: Final = frozenset("\t\n\r")  # of control characters
_DELETE: Final = "\x7f"


async def read_form(context: RequestContext) -> Mapping[str, list[str]]:
    """Return the values of each field; raises CallerError for a body that no form of ours sends."""
    headers = context.downstream.request_headers.headers
    if headers.get("Content-Type", "").partition(";")[0].strip().lower() != _TYPE:
        raise CallerError(
            415, "unsupported_content_type", f"This address takes what a form sends ({_TYPE}).", close=True
        )
    length = headers.get("Content-Length", "")
    if length.isascii() and length.isdigit() and (len(length) > len(str(1 << 60)) or int(length) > BODY_MAX_BYTES):
        raise _too_large()  # none of it is waited for
    try:
        body = await context.downstream.read_body(BODY_MAX_BYTES, _TIMEOUT_S)
    except BodyTooLargeError:
        raise _too_large() from None
    except (BodyIncompleteError, TimeoutError):
        raise CallerError(400, "body_incomplete", "The form ended before it was complete.", close=True) from None
    return parse_form(body)


def parse_form(body: bytes) -> Mapping[str, list[str]]:
    """Return the values of each field; raises CallerError for text that is not UTF-8 or holds control characters."""
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX)
    except (UnicodeDecodeError, ValueError):
        raise _unreadable() from None
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        if not (_is_text(name) and _is_text(value)):
            raise _unreadable()
        fields.setdefault(name, []).append(value.replace("\r\n", "\n"))  # as the person wrote it
    return fields


def _is_text(value: str) -> bool:
    return all((char >= " " and char != _DELETE) or char in _ALLOWED for char in value)


def _too_large() -> CallerError:
    return CallerError(
        413, "body_too_large", f"The form is larger than {BODY_MAX_BYTES >> 10} KiB. Send less.", close=True
    )


def _unreadable() -> CallerError:
    return CallerError(
        400, "invalid_form", "The form holds characters that no text has, or more fields than any page has."
    )
