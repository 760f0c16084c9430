"""Who may read the figures of the whole installation: /metrics and /readyz?verbose name providers, models and keys."""

import ipaddress
from typing import Any

from proxy.core.errors import CallerError
from proxy.pipeline.context import RequestContext
from proxy.pipeline.values.request_headers import Headers
from proxy.web.admin.credentials import check_operator
from proxy.web.deps import Deps
from proxy.web.server.aiohttp_downstream import aiohttp_request

_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "CF-Connecting-IP", "True-Client-IP", "Via")
_TOKEN_HEADERS = ("Authorization", "x-api-key", "api-key")


def check_reader(context: RequestContext, deps: Deps) -> None:
    """Raise CallerError unless server.metrics lets the client read, or it sent the operator's token."""
    settings = deps.services.live.current.settings
    mode = settings.server.metrics
    headers = context.downstream.request_headers.headers
    transport = aiohttp_request(context).transport
    peer = None if transport is None else transport.get_extra_info("peername")
    if mode == "open" or (mode == "loopback" and is_here(peer, headers)):
        return
    has_operators = settings.admin_token is not None or deps.services.live.current.operators
    if not has_operators or not any(name in headers for name in _TOKEN_HEADERS):
        where = "on this machine only" if mode == "loopback" else "with the operator's token only"
        raise CallerError(
            403,
            "operator_only",
            f"These figures are shown {where} (server.metrics: {mode})."
            ' From elsewhere send "Authorization: Bearer ..." with the token of an operator, as admin_token is.',
            type_="permission_error",
        )
    check_operator(context, deps)


def is_here(peer: Any, headers: Headers) -> bool:
    """Return whether a client runs on this machine; peer: its address as the socket reports it.

    Requests that another server passes on come from loopback too: it names the client in a header.
    """
    if not isinstance(peer, tuple) or any(name in headers for name in _FORWARDED):
        return False
    try:
        address = ipaddress.ip_address(str(peer[0]).partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
