"""Which headers are passed on, each way: an allow-list, so that what nobody thought of cannot leak or mislead.

Names are compared in lower case. Left out on purpose on the way up:
- authorization, x-api-key, cookie, helicone-auth: the caller's secrets; the provider gets the operator's key.
- openai-organization, openai-project: they name the caller's account, and the key is the operator's.
- user-agent, x-stainless-*: they tell the provider which machine and SDK each user has, and the firewall in
  front of a provider judges the operator's address by them. The transport names itself.
- accept, accept-encoding, content-type, content-length, host and all hop-by-hop headers: the transport's own.
- idempotency-key: the proxy may send one request to several targets.
- baggage: carries whatever the caller's own services put into it.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from proxy.core.name_cache import NameCache

MAX_VALUE_BYTES: Final = 8192
"""As much as common servers take in one header line."""

# A character has at most four bytes, so that most values need not be encoded to be measured.
_PLAIN_CHARS: Final = MAX_VALUE_BYTES // 4

STREAM_HEADERS: Final[Mapping[str, str]] = {
    "cache-control": "no-store",
    "x-accel-buffering": "no",  # nginx in front must not collect the pieces
}
"""What the head of every stream of events says."""

_REQUEST_NAMES: Final = frozenset(
    {
        "http-referer",
        "x-title",
        "x-session-id",
        "x-anthropic-beta",
        "openai-beta",
        "traceparent",
        "tracestate",
    }
)
_REQUEST_PREFIXES: Final = ("x-openrouter-", "anthropic-", "helicone-")
_REQUEST_REFUSED: Final = frozenset({"helicone-auth"})

_RESPONSE_NAMES: Final = frozenset(
    {
        "content-type",
        "cache-control",
        "retry-after",
        "retry-after-ms",
        "x-generation-id",
        "x-provider-name",
        "cf-ray",
    }
)
_RESPONSE_PREFIXES: Final = ("x-ratelimit-", "x-openrouter-", "openai-", "anthropic-")
_RESPONSE_REFUSED: Final = frozenset(  # these name the operator's account
    {"openai-organization", "openai-project", "anthropic-organization-id"}
)

_NAME: Final = re.compile(r"[a-z0-9-]{1,64}")
# Controls would end the line or cut it short; surrogates are bytes that were no UTF-8 and cannot be written
# again.
_FORBIDDEN: Final = r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]"  # compiled when first wanted


class HeaderError(ValueError):
    """A header that must not be sent upstream; answered with 400. name is the header, in lower case."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


def pick_request_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the client's headers that are sent upstream, in their order, names in lower case.

    Raises HeaderError for one whose value holds a control character, broken UTF-8 or over MAX_VALUE_BYTES
    bytes: the caller asked for something by it, and dropping it would silently change the request.
    """
    picked = []
    for name, value in headers:
        lower = name.lower()
        if not _travels(lower, _REQUEST_NAMES, _REQUEST_PREFIXES, _REQUEST_REFUSED):
            continue
        if (problem := _problem(value)) is not None:
            raise HeaderError(lower, f"The header {lower} {problem}.")
        picked.append((lower, value))
    return picked


def pick_response_headers(headers: Iterable[tuple[str, str]], secret: str = "") -> list[tuple[str, str]]:
    """Return the provider's headers that are passed to the client, in their order, names in lower case.

    Its x-request-id becomes x-upstream-request-id, for x-request-id is the proxy's own. A header that cannot
    be sent is left out: the answer has been paid for and must arrive. One that quotes the secret, the key that the
    provider was asked with, is left out too.
    """
    picked = []
    for name, value in headers:
        lower = _response_names[name]
        if lower is None:
            continue
        if secret and secret in value:
            continue
        # anything less plain is examined closely
        if (len(value) <= _PLAIN_CHARS and value.isascii() and value.isprintable()) or _problem(value) is None:
            picked.append((lower, value))
    return picked


def header_lines(headers: Mapping[str, str]) -> str:
    """Return headers as HTTP writes them, each line with its end."""
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])


def headers_of(lines: str) -> dict[str, str]:
    """Return the headers that header_lines() has written."""
    return dict(line.split(": ", 1) for line in lines.split("\r\n")[:-1])


def passed_name(name: str) -> str | None:
    """Return the name under which a provider's header is passed to the client; None for one that is not."""
    lower = name.lower()
    if lower == "x-request-id":
        return "x-upstream-request-id"
    return lower if _travels(lower, _RESPONSE_NAMES, _RESPONSE_PREFIXES, _RESPONSE_REFUSED) else None


_response_names: Final = NameCache(passed_name)


def _travels(lower: str, names: frozenset[str], prefixes: tuple[str, ...], refused: frozenset[str]) -> bool:
    if lower in names:
        return True
    return lower.startswith(prefixes) and lower not in refused and _NAME.fullmatch(lower) is not None


def _problem(value: str) -> str | None:
    if len(value) <= _PLAIN_CHARS and value.isascii() and value.isprintable():
        return None
    if re.search(_FORBIDDEN, value) is not None:
        return "holds a control character or broken UTF-8"
    if len(value) > _PLAIN_CHARS and len(value.encode()) > MAX_VALUE_BYTES:
        return f"is longer than {MAX_VALUE_BYTES} bytes"
    return None
