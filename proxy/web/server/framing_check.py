"""Checks of every head that aiohttp has read: protocol version, target, framing, then Host and Origin."""

from aiohttp import HttpVersion10, HttpVersion11

from proxy.config.values import listen_at
from proxy.core.errors import CallerError
from proxy.pipeline.context import RequestContext
from proxy.pipeline.snapshot import Snapshot
from proxy.policy.host import Hosts
from proxy.web.server.aiohttp_downstream import aiohttp_request
from proxy.web.server.host_check import check_names, checked_host


def check_request(context: RequestContext, snapshot: Snapshot) -> None:
    """Raise CallerError for a request over TCP that nobody who means well sends."""
    check_framing(context, snapshot)
    _check_line(context)
    check_names(context.downstream.request_headers, snapshot)


def check_operator_request(context: RequestContext, snapshot: Snapshot) -> None:
    """Do the same for a request to the operator's own listener, which web pages of no other origin may call."""
    check_framing(context, snapshot)
    _check_line(context)
    headers = context.downstream.request_headers.headers
    listen = snapshot.settings.admin.listen
    assert listen is not None, "there is such a listener"
    checked_host(headers.getall("Host", []), Hosts(listen_at(listen)[0], snapshot.settings.server.hosts))


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
