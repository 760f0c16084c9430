"""Checks of every request before its path is read: protocol version, target, Host, Origin.

A web page that points its own name at 127.0.0.1 reaches a local server; the Host and Origin lists stop it.
"""

from aiohttp import HttpVersion10, HttpVersion11

from proxy.config.values import listen_at
from proxy.core.errors import CallerError
from proxy.pipeline.context import RequestContext
from proxy.pipeline.snapshot import Snapshot
from proxy.pipeline.values.request_headers import RequestHeaders
from proxy.policy.host import Hosts
from proxy.policy.origin import is_same
from proxy.web.server.aiohttp_downstream import aiohttp_request
from proxy.web.server.cors import VARIES, origin_headers

_SHOWN_CHARS = 100


def check_request(context: RequestContext, snapshot: Snapshot) -> None:
    """Raise CallerError for a request over TCP that nobody who means well sends."""
    check_framing(context, snapshot)
    _check_line(context)
    _check_names(context.downstream.request_headers, snapshot)


def check_operator_request(context: RequestContext, snapshot: Snapshot) -> None:
    """Do the same for a request to the operator's own listener, which web pages of no other origin may call."""
    check_framing(context, snapshot)
    _check_line(context)
    headers = context.downstream.request_headers.headers
    listen = snapshot.settings.admin.listen
    assert listen is not None, "there is such a listener"
    _checked_host(headers.getall("Host", []), Hosts(listen_at(listen)[0], snapshot.settings.server.hosts))


def _check_line(context: RequestContext) -> None:
    request = aiohttp_request(context)
    if request.version not in (HttpVersion11, HttpVersion10):
        raise CallerError(505, "http_version_not_supported", "Speak HTTP/1.1.", close=True)
    if not request.raw_path.startswith("/"):
        raise CallerError(400, "invalid_target", "The request line must hold a path, such as /v1/models.", close=True)


def check_framing(context: RequestContext, _snapshot: Snapshot) -> None:
    """Raise CallerError for a body whose end another server might find elsewhere (RFC 9112, 6.1 and 6.3).

    Requests over the Unix socket, which no web page can reach, need no more.
    """
    request = aiohttp_request(context)
    codings = request.headers.getall("Transfer-Encoding", ())
    if not codings:
        return
    if request.version == HttpVersion10:
        raise CallerError(400, "bad_request", "HTTP/1.0 has no Transfer-Encoding. Send a Content-Length.", close=True)
    if "Content-Length" in request.headers:
        raise CallerError(400, "bad_request", "Send Content-Length or Transfer-Encoding, not both.", close=True)
    if len(codings) > 1 or codings[0].strip(" \t").lower() != "chunked":
        raise CallerError(
            501,
            "unsupported_transfer_encoding",
            "The only Transfer-Encoding accepted here is chunked. Send the body uncompressed.",
            should_retry=False,
            close=True,
        )


def check_plain_head(context: RequestContext, snapshot: Snapshot) -> None:
    """Do the same for a head that is known to be of the plainest shape; its next request passes under this snapshot."""
    request_headers = context.downstream.request_headers
    _check_names(request_headers, snapshot)
    request_headers.passed = snapshot


def _check_names(request_headers: RequestHeaders, snapshot: Snapshot) -> None:
    """Raise CallerError for a Host or an Origin that may not call here; note what answers tell the browser."""
    request_headers.cors = None
    headers = request_headers.headers
    host = _checked_host(headers.getall("Host", []), snapshot.hosts)
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


def _checked_host(values: list[str], allowed: Hosts) -> str:
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
