"""A tunnel through an HTTP proxy to a TLS origin: CONNECT (RFC 9110, 9.3.6)."""

import asyncio
import re
import socket

from proxy.providers.transport.connect_errors import refused_by_proxy
from proxy.providers.transport.network import ProxyServer
from proxy.providers.transport.pool.origin import Origin

_HEAD_MAX_BYTES = 64 << 10
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})[ \r]")


async def open_tunnel(loop: asyncio.AbstractEventLoop, sock: socket.socket, origin: Origin, proxy: ProxyServer) -> None:
    """Open a tunnel through the proxy that sock is connected to; raises TransportError or OSError.

    The origin sends nothing before it is sent something, so nothing of it can be read with the proxy's answer.
    """
    await loop.sock_sendall(sock, _request(origin, proxy))
    head = b""
    while b"\r\n\r\n" not in head:
        piece = await loop.sock_recv(sock, 4096)
        if not piece or len(head) > _HEAD_MAX_BYTES:
            raise ConnectionResetError("the proxy gave no answer")
        head += piece
    found = _STATUS.match(head)
    status = int(found[1]) if found is not None else 0
    if not 200 <= status < 300:
        raise refused_by_proxy(status, proxy)


def _request(origin: Origin, proxy: ProxyServer) -> bytes:
    place = f"[{origin.host}]:{origin.port}" if ":" in origin.host else f"{origin.host}:{origin.port}"
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
    if proxy.authorization is not None:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")
