"""The headers by which a browser passes an answer to the page that asked (Fetch standard, CORS protocol).

Only pages of server.origins get any; credentials are never allowed, since a token is sent in a header.
"""

import re
from collections.abc import Mapping
from typing import Final

from proxy.core.limit_kinds import KINDS
from proxy.pipeline.admission.limit_headers import header_names
from proxy.pipeline.values.request_headers import Headers

VARIES: Final[Mapping[str, str]] = {"Vary": "Origin"}
_EXPOSED = ", ".join(
    [
        "x-request-id",
        "request-id",
        "x-upstream-request-id",
        "x-generation-id",
        "retry-after",
        "retry-after-ms",
        "x-should-retry",
        *(f"x-tollkeeper-{name}" for name in ("model", "provider", "attempts", "static", "max-tokens", "cost-usd")),
        *(f"x-tollkeeper-{name}" for name in ("budget-remaining-usd", "budget-resets-at", "joined")),
        *(name for kind in KINDS if kind.unit == "count" for name in header_names(kind.name)),
        "*",  # any other header; the names before it are for browsers that do not know *
    ]
)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}", re.ASCII)  # RFC 9110, 5.6.2
_HEADERS_MAX = 100
_USUAL_HEADERS = "authorization, content-type, x-api-key, x-tollkeeper-use-case, x-tollkeeper-tags"
_PREFLIGHT_KEPT_S = 7200  # the longest that browsers keep it


def origin_headers(origin: str) -> Mapping[str, str]:
    """Return what every answer to a page of this origin, which may call, carries."""
    return {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": _EXPOSED, **VARIES}


def is_preflight(method: str, headers: Headers) -> bool:
    """Return whether this is a browser's preflight, rather than a program's own OPTIONS request."""
    return method == "OPTIONS" and "Origin" in headers and "Access-Control-Request-Method" in headers


def preflight_headers(headers: Headers, allowed: str) -> Mapping[str, str]:
    """Return what a browser that asks is told; allowed: the methods of the path, "" where there is nothing.

    For an unknown path the request itself gets the error, which the page can then read.
    """
    told = {
        "Access-Control-Allow-Methods": allowed or "GET, HEAD, OPTIONS, POST",
        "Access-Control-Allow-Headers": _requested(headers) or _USUAL_HEADERS,
        "Access-Control-Max-Age": str(_PREFLIGHT_KEPT_S),
    }
    if headers.get("Access-Control-Request-Private-Network", "").lower() == "true":
        told["Access-Control-Allow-Private-Network"] = "true"
    return told


def _requested(headers: Headers) -> str:
    """Return the names of the headers that the page will send; what is no name is left out."""
    names = [
        name.strip().lower()
        for value in headers.getall("Access-Control-Request-Headers", ())
        for name in value.split(",")
    ]
    return ", ".join(name for name in names[:_HEADERS_MAX] if _TOKEN.fullmatch(name))
