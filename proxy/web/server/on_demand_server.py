"""aiohttp's server, loaded when its first connection comes: a proxy that serves the fast path alone never needs it.

Loading takes a thread a tenth of a second and more, and 20 MB for as long as the process lives; the loop goes on
meanwhile. A connection that comes first waits for it with what it has sent.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from proxy.web.server.aiohttp_server import UserConnection, UserServer

log = logging.getLogger("tollkeeper.web")


class EarlyConnection(asyncio.Protocol):
    """A connection until the server is there; then it is the server's, with all that it has sent."""

    __slots__ = ("_choked", "_due_s", "_got", "_server", "transport")

    def __init__(self, server: "OnDemandServer") -> None:
        self._server = server
        self._got = b""
        self._due_s: float | None = None
        self._choked = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # a server makes no other
        self._server.wait(self)

    def expect_head(self, due_s: float) -> None:
        """Keep until when the first head has to be there, in the loop's time."""
        self._due_s = due_s

    def data_received(self, data: bytes) -> None:
        self._got += data
        if self.transport is not None:
            self.transport.pause_reading()

    def pause_writing(self) -> None:
        self._choked = True

    def resume_writing(self) -> None:
        self._choked = False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.transport = None
        self._server.forget(self)

    def close(self) -> None:
        """Close it: nobody reads what it has sent."""
        if self.transport is not None:
            self.transport.close()

    def close_if_idle(self) -> None:
        if not self._got:
            self.close()

    def pass_on(self, other: "UserConnection") -> None:
        """Make it the server's."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        transport.set_protocol(other)
        other.connection_made(transport)
        if self._due_s is not None:
            other.expect_head(self._due_s)
        if self._choked:
            other.pause_writing()
        if self._got:
            transport.resume_reading()
            other.data_received(self._got)


class OnDemandServer:
    """The protocol factory of a listening socket, and of the connections that the fast path hands over."""

    def __init__(self, load: Callable[[], Callable[[], "UserServer"]]) -> None:
        """Keep load, which imports the server in a thread, and returns what makes it on the loop."""
        self._load = load
        self._server: UserServer | None = None
        self._loading: asyncio.Task[None] | None = None
        self._waiting: set[EarlyConnection] = set()

    def __call__(self) -> "UserConnection | EarlyConnection":
        server = self._server
        return EarlyConnection(self) if server is None else server()

    @property
    def connections(self) -> "list[UserConnection | EarlyConnection]":
        made = [] if self._server is None else cast("list[UserConnection]", self._server.connections)
        return [*self._waiting, *made]

    async def load(self) -> None:
        """Load it now; raises what importing raises."""
        if self._server is None:
            make = await asyncio.to_thread(self._load)
            self._server = self._server or make()

    def wait(self, connection: EarlyConnection) -> None:
        """Pass the connection on once the server is there."""
        self._waiting.add(connection)
        if self._loading is None:
            self._loading = asyncio.get_running_loop().create_task(self._load_and_pass_on())

    def forget(self, connection: EarlyConnection) -> None:
        """Wait no longer for a connection that is closed."""
        self._waiting.discard(connection)

    async def _load_and_pass_on(self) -> None:
        try:
            await self.load()
        except Exception as error:
            log.error("request.failed", exc_info=error)
        finally:
            self._loading = None
            waiting, self._waiting = self._waiting, set()
            for connection in waiting:
                if self._server is None:
                    connection.close()
                else:
                    connection.pass_on(self._server())

    def pre_shutdown(self) -> None:
        """Close the connections that only wait; those with a request go on."""
        for connection in list(self._waiting):
            connection.close_if_idle()
        if self._server is not None:
            self._server.pre_shutdown()

    async def shutdown(self, timeout_s: float) -> None:
        """Abort the requests still under way and wait until they are settled, at most timeout_s."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)
        if self._server is not None:
            await self._server.shutdown(timeout_s)
