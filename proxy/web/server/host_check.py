"""Checks of every request before its path is read: Host and Origin.

A web page that points its own name at 127.0.0.1 reaches a local server; the Host and Origin lists stop it.
"""

from proxy.core.errors import CallerError
from proxy.pipeline.context import RequestContext
from proxy.pipeline.snapshot import Snapshot
from proxy.pipeline.values.request_headers import RequestHeaders
from proxy.policy.host import Hosts
from proxy.policy.origin import is_same
from proxy.web.server.cors import VARIES, origin_headers

_SHOWN_CHARS = 100


def check_plain_head(context: RequestContext, snapshot: Snapshot) -> None:
    """Check a head that is known to be of the plainest shape; its next request passes under this snapshot."""
    request_headers = context.downstream.request_headers
    check_names(request_headers, snapshot)
    request_headers.passed = snapshot


def check_names(request_headers: RequestHeaders, snapshot: Snapshot) -> None:
    """Raise CallerError for a Host or an Origin that may not call here; note what answers tell the browser."""
    request_headers.cors = None
    headers = request_headers.headers
    host = checked_host(headers.getall("Host", []), snapshot.hosts)
    origins = headers.getall("Origin", ())
    if not origins:
        request_headers.cors = VARIES if snapshot.origins else None
    elif len(origins) == 1 and snapshot.origins.allows(origins[0]):
        request_headers.cors = origin_headers(origins[0])
    elif len(origins) > 1 or not is_same(origins[0], host):
        raise CallerError(
            403,
            "origin_not_allowed",
            f"Web pages of {_shown(origins)} may not call here. Operator: add it to server.origins.",
            headers=VARIES,
        )


def _shown(origins: list[str]) -> str:
    """Quote what a browser sent, as far as it is an origin: the operator must know what to add."""
    origin = origins[0]
    plain = len(origins) == 1 and len(origin) <= _SHOWN_CHARS and origin.isascii() and origin.isprintable()
    return f'the origin "{origin}"' if plain else "this origin"


def checked_host(values: list[str], allowed: Hosts) -> str:
    """Return the Host of a request; raises CallerError if it is none of these."""
    if len(values) == 1 and allowed.allows(host_name(values[0])):
        return values[0]
    raise CallerError(
        421,
        "host_not_allowed",
        "The Host header is not one of this server. Call it by localhost or 127.0.0.1."
        " Operator: add the name to server.hosts.",
        close=True,
    )


def host_name(value: str) -> str | None:
    """Return the host's name in lower case without the port; None if the text is not a host."""
    name, colon, port = value.rpartition(":")
    if not colon or value.endswith("]"):
        return value.lower()
    return name.lower() if port.isascii() and port.isdigit() else None
