"""A host's addresses, and a TCP connection to the first of them that answers."""

import asyncio
import socket
from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Any

Info = tuple[socket.AddressFamily, Any]  # family and the address as sockets want it

_CACHE_S = 60.0  # as the reference transport; a provider that moves keeps its old addresses alive for longer
_HEAD_START_S = 0.25  # RFC 8305: how long one address is tried alone before the next is tried beside it


class Addresses:
    """Resolves a host, once for all who ask at the same time, and caches the result for a minute."""

    __slots__ = ("_fixed", "_found", "_host", "_lookup", "_port", "_until_s")

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._fixed = _numeric(host, port)
        self._found: Sequence[Info] = ()
        self._until_s = 0.0
        self._lookup: asyncio.Task[Sequence[Info]] | None = None

    async def get(self) -> Sequence[Info]:
        """Return the addresses, best first; raises OSError if the name is unknown."""
        if self._fixed:
            return self._fixed
        if self._found and asyncio.get_running_loop().time() < self._until_s:
            return self._found
        if self._lookup is None:
            self._lookup = asyncio.ensure_future(self._look_up())
        return await asyncio.shield(self._lookup)

    async def _look_up(self) -> Sequence[Info]:
        loop = asyncio.get_running_loop()
        try:
            try:
                infos = await loop.getaddrinfo(
                    self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
                )
            except socket.gaierror:  # its only addresses are of a family that this machine seems not to have
                infos = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
            self._found = _interleave([(info[0], info[4]) for info in infos])
            self._until_s = loop.time() + _CACHE_S
            return self._found
        finally:
            self._lookup = None

    def forget(self) -> None:
        """Forget the addresses, none of which answered: resolve them again next time."""
        self._found = ()

    def close(self) -> None:
        if self._lookup is not None:
            self._lookup.cancel()


def _numeric(host: str, port: int) -> Sequence[Info]:
    """Return the address of a host that is an address itself, without any network; () for a name."""
    try:
        infos = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        )
    except OSError:
        return ()
    return [(info[0], info[4]) for info in infos]


def _interleave(infos: Sequence[Info]) -> Sequence[Info]:
    """Return the addresses with families alternating, the resolver's first choice first (RFC 8305, 4)."""
    if not infos:
        raise OSError("the name has no address")
    first = [info for info in infos if info[0] == infos[0][0]]
    others = [info for info in infos if info[0] != infos[0][0]]
    return [info for info in chain.from_iterable(zip_longest(first, others)) if info is not None]


async def connect(infos: Sequence[Info]) -> socket.socket:
    """Return a socket connected to the first address that answers; raises the first OSError if none does."""
    if len(infos) == 1:
        return await _connect_one(infos[0])
    waiting = list(infos)
    running: set[asyncio.Task[socket.socket]] = set()
    failure: OSError | None = None
    try:
        while waiting or running:
            if waiting:
                running.add(asyncio.ensure_future(_connect_one(waiting.pop(0))))
            await asyncio.wait(running, timeout=_HEAD_START_S if waiting else None, return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in running if task.done()]:
                running.discard(task)
                error = task.exception()
                if error is None:
                    return task.result()
                if not isinstance(error, OSError):
                    raise error
                failure = failure or error
    finally:
        await _drop(running)
    raise failure or OSError("no address to try")


async def _connect_one(info: Info) -> socket.socket:
    family, address = info
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # so that routers keep a silent stream open
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def _drop(tasks: set[asyncio.Task[socket.socket]]) -> None:
    """Cancel the connection attempts that came too late, and close what they opened."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        task.add_done_callback(_close_result)
    if tasks:
        await asyncio.wait(tasks)


def _close_result(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()
