"""Open the sockets: TCP for users, a Unix socket beside the ledger for the command line."""

import asyncio
import errno
import hashlib
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from proxy.core.errors import PortError

_BACKLOG = 4096  # aiohttp's 128 loses connections of a burst of 500 for seconds
_UNIX_PATH_MAX_BYTES = 100  # sun_path holds 108 on Linux, 104 on macOS


def socket_path(database: Path) -> Path | None:
    """Return where the command line finds a running proxy; None on systems without Unix sockets.

    It is beside the ledger; where that path is too long for a socket in the temporary folder, or in /tmp.
    """
    if sys.platform == "win32":
        return None
    beside = database.absolute().with_name(database.name + ".sock")
    if _fits(beside):
        return beside
    digest = hashlib.sha256(os.fsencode(database.absolute())).hexdigest()[:16]
    name = f"tollkeeper-{os.getuid()}-{digest}.sock"
    import tempfile  # noqa: PLC0415 - with shutil and archives, for a path that is seldom asked for

    temporary = Path(tempfile.gettempdir()) / name  # asks the disk: only where it is needed
    return temporary if _fits(temporary) else Path("/tmp") / name  # noqa: S108 - 0600


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= _UNIX_PATH_MAX_BYTES


async def listen_tcp(
    server: Callable[[], asyncio.BaseProtocol], host: str, port: int, other: str = "tollkeeper serve --port"
) -> asyncio.Server:
    """Listen, or raise PortError that names who holds the port; other: how to take another one, before its number."""
    try:
        return await asyncio.get_running_loop().create_server(server, host, port, backlog=_BACKLOG)
    except OSError as error:
        raise PortError(_explain(host, port, error, other)) from None


async def listen_unix(server: Callable[[], asyncio.BaseProtocol], path: Path) -> asyncio.Server:
    """Listen for the owner of the ledger only. The caller holds the ledger's lock, so an old file is a dead one."""
    path.unlink(missing_ok=True)  # noqa: ASYNC240 - once, before anything is served
    old_mask = os.umask(0o177)
    try:
        return await asyncio.get_running_loop().create_unix_server(server, str(path))
    finally:
        os.umask(old_mask)


def _explain(host: str, port: int, error: OSError, other: str) -> str:
    if error.errno == errno.EADDRINUSE:
        holder = port_holder(port)
        by = f" by {holder}" if holder else ""
        return f"Port {port} on {host} is taken{by}. Stop it, or: {other} {port + 1}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"Port {port} on {host} may not be opened (ports below 1024 need rights). Try: {other} 8787"
    return f"{host}:{port} cannot be listened on: {error.strerror or error}. Check server.host and server.port."


def port_holder(port: int) -> str | None:
    """Return the process that listens on a port, if /proc shows it: 'process 4121 (tollkeeper)'."""
    inodes = _listening_inodes(port)
    if not inodes:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        try:
            for descriptor in (process / "fd").iterdir():
                if descriptor.is_symlink() and str(descriptor.readlink()) in inodes:
                    return f"process {process.name} ({(process / 'comm').read_text().strip()})"
        except OSError:  # another user's process, or one that has just ended
            continue
    return None


def _listening_inodes(port: int) -> set[str]:
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:  # 0A: listening
                found.add(f"socket:[{fields[9]}]")
    return found


def bound_port(server: asyncio.Server) -> int:
    """Return the port that was bound, which the system chose if 0 was asked for."""
    for sock in server.sockets:
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            return int(sock.getsockname()[1])
    raise AssertionError("a TCP server has a TCP socket")
