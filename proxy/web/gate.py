"""What every request must pass before its path is looked at: protocol version, target, Host, Origin.

A web page that points its own name at 127.0.0.1 reaches a local server; the Host and Origin lists stop it.
"""

from aiohttp import HttpVersion10, HttpVersion11, web

from proxy.core.errors import CallerError
from proxy.pipeline.parts import Snapshot
from proxy.pipeline.said import Headers

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})


def allowed_hosts(host: str, hosts: tuple[str, ...]) -> frozenset[str]:
    """Give the names that a Host header may carry, in lower case and without a port."""
    own = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return _LOOPBACK | {own.lower()} | {name.lower() for name in hosts}


def check_gate(request: web.BaseRequest, snapshot: Snapshot) -> None:
    """Raise CallerError for a request that nobody who means well sends."""
    if request.version not in (HttpVersion11, HttpVersion10):
        raise CallerError(505, "http_version_not_supported", "Speak HTTP/1.1.", close=True)
    if not request.raw_path.startswith("/"):
        raise CallerError(400, "invalid_target", "The request line must hold a path, such as /v1/models.", close=True)
    check_names(request.headers, snapshot)


def check_names(headers: Headers, snapshot: Snapshot) -> None:
    """Raise CallerError for a Host or an Origin that may not call here."""
    _check_host(headers.getall("Host", []), snapshot.hosts)
    origins = headers.getall("Origin", ())
    if origins and any(origin not in snapshot.settings.server.origins for origin in origins):
        raise CallerError(
            403,
            "origin_not_allowed",
            "Web pages of this origin may not call here. Operator: add it to server.origins.",
        )


def _check_host(values: list[str], allowed: frozenset[str]) -> None:
    if len(values) == 1 and host_name(values[0]) in allowed:
        return
    raise CallerError(
        421,
        "host_not_allowed",
        "The Host header is not one of this server. Call it by localhost or 127.0.0.1."
        " Operator: add the name to server.hosts.",
        close=True,
    )


def host_name(value: str) -> str | None:
    """Give the name without the port in lower case; None for what is no host and port."""
    name, colon, port = value.rpartition(":")
    if not colon or value.endswith("]"):
        return value.lower()
    return name.lower() if port.isascii() and port.isdigit() else None
