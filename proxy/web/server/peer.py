"""The other end of a connection: an address or, over the Unix socket, a user of this system."""

import asyncio
import socket
import struct

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid of Linux' SO_PEERCRED
_NETWORK = 4  # groups of an IPv6 address that name a network: whoever has one address of it has them all


def address_of(transport: asyncio.Transport | None) -> str:
    """Return the address of the other end; of IPv6 its network, for one machine has as many as it likes."""
    name = None if transport is None else transport.get_extra_info("peername")
    if not isinstance(name, tuple):
        return ""
    address = str(name[0])
    if ":" not in address or address.startswith("::"):
        return address.removeprefix("::ffff:")
    return ":".join(address.split(":")[:_NETWORK])


def is_unix(transport: asyncio.Transport | None) -> bool:
    """Return whether the connection came over a Unix socket."""
    sock = None if transport is None else transport.get_extra_info("socket")
    return sock is not None and sock.family == getattr(socket, "AF_UNIX", None)


def peer_uid(transport: asyncio.Transport | None) -> int | None:
    """Return the id of the user whose process opened a Unix connection; None where the system does not tell."""
    sock = None if transport is None else transport.get_extra_info("socket")
    option = getattr(socket, "SO_PEERCRED", None)
    if sock is None or option is None:
        return None
    with socket.fromfd(
        sock.fileno(), socket.AF_UNIX, socket.SOCK_STREAM
    ) as own:  # the loop's own object cannot be asked
        _, uid, _ = _CREDENTIALS.unpack(own.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size))
    return int(uid)
