"""Why no connection came about, in words that say what to look at: name, refusal, network, certificate, proxy."""

import errno
import socket
import ssl

from proxy.providers.transport.errors import TransportError
from proxy.providers.transport.network import ProxyServer

_NO_ROUTE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL})
_CERTIFICATE_ADVICE = "if this network replaces certificates, set ca_file"


def no_connection(error: OSError, host: str, proxy: ProxyServer | None = None) -> TransportError:
    """Return our error for a connection that failed; host: the one connected to."""
    whose = f"the proxy {proxy.url}" if proxy is not None else f"the server {host}"
    return TransportError("unreachable", f"no connection could be made: {_why(error, host, whose)}", dispatched=False)


def _why(error: OSError, host: str, whose: str) -> str:
    if isinstance(error, socket.gaierror):
        return f"the name of {whose} cannot be found (DNS: {host})"
    if isinstance(error, ConnectionRefusedError):
        return f"{whose} refused it; nothing listens at this port"
    if error.errno in _NO_ROUTE:
        return f"there is no route to {whose}"
    if isinstance(error, ConnectionError):
        return f"{whose} closed it at once"
    return f"{whose}: {error.strerror or 'it failed'}"


def no_tls(error: ssl.SSLError) -> TransportError:
    """Return our error for a TLS handshake that failed, with what was wrong with the certificate."""
    text = "the provider's TLS certificate or handshake was refused"
    if isinstance(error, ssl.SSLCertVerificationError):
        text = f"{text}: {error.verify_message.rstrip('.')} ({_CERTIFICATE_ADVICE})"
    elif error.reason:
        text = f"{text}: {error.reason.replace('_', ' ').lower()}"
    return TransportError("tls", text, dispatched=False)


def refused_by_proxy(status: int, proxy: ProxyServer) -> TransportError:
    """Return our error for a proxy that does not let a connection through; it never saw what was to be sent."""
    if status == 407:
        why = "wants another user and password" if proxy.authorization else "asks for a user and a password"
    elif status in (403, 405):
        why = "does not let this provider through"
    elif status in (502, 503, 504):
        why = "cannot reach the provider"
    else:
        why = "did not open a tunnel to the provider"
    return TransportError("unreachable", f"the proxy {proxy.url} {why} ({status})", dispatched=False)


def timed_out(proxy: ProxyServer | None) -> TransportError:
    """Return our error for a connection that did not come about in time."""
    by = "" if proxy is None else f" by the proxy {proxy.url}"
    return TransportError("connect_timeout", f"no connection within the connect time-out{by}", dispatched=False)
