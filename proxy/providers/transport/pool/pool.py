"""The fast transport: one pool of connections to one origin, read by llhttp, with one timer for all deadlines.

It costs a fraction of what a general HTTP client does, because it does nothing else: no redirects, no cookies, no
decompression, no retries. AiohttpTransport is the reference that it must match; docs/developers/transport.md has the
differences.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping

from proxy.providers.deadlines import Deadlines
from proxy.providers.transport.base import ConnectionCounts, MayEnd, SentHeaders, TransportError
from proxy.providers.transport.connect_errors import no_connection, no_tls, refused_by_proxy, timed_out
from proxy.providers.transport.network import DIRECT, Network, tls_context
from proxy.providers.transport.pool.addresses import Addresses, connect
from proxy.providers.transport.pool.connection import HELD_BYTES, HELD_WHOLE_BYTES, WRITE_BYTES, UpstreamConnection
from proxy.providers.transport.pool.known_head import LearntHeads
from proxy.providers.transport.pool.origin import Origin
from proxy.providers.transport.pool.request_head import HeaderRefusedError, request_head
from proxy.providers.transport.pool.response import PooledResponse
from proxy.providers.transport.pool.tunnel import open_tunnel

# Cloudflare and load balancers keep idle connections for minutes; a local uvicorn closes them after 5 s, and a
# request sent into a closing connection cannot be told from a billed one.
_KEEPALIVE_REMOTE_S = 30.0
_KEEPALIVE_LOCAL_S = 4.0
_TICK_MAX_S = 0.25  # how late a deadline may be noticed; deadlines below 2 s are checked more often
_TICK_MIN_S = 0.005
_TICKS_A_DEADLINE = 8
_NEVER_S = float("inf")
_LENGTH = b"Content-Length: "
_TOO_SLOW = 408  # to a request that did not come whole


class PooledTransport:
    """The connections to one origin. verify: what a provider's certificate is checked with, instead of the default."""

    def __init__(self, base_url: str, network: Network = DIRECT, *, verify: ssl.SSLContext | None = None) -> None:
        self._origin: Origin | None
        self._proxy = network.proxy
        try:
            self._origin = Origin(base_url)
            self._addresses = Addresses(*self._next_hop(self._origin))
        except ValueError:  # reported by send(), as for every wrong address
            self._origin = None
            return
        self._tls = None if self._origin.local else verify or tls_context(network.ca_pem)
        self._keepalive_s = _KEEPALIVE_LOCAL_S if self._origin.local else _KEEPALIVE_REMOTE_S
        self._heads = LearntHeads()
        self._open: set[UpstreamConnection] = set()
        self._idle: dict[
            UpstreamConnection, None
        ] = {}  # oldest first; the newest is used first, so that the rest can end
        self._connecting: set[asyncio.Timeout] = set()
        self._closed = False
        self._drained: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sweep = _Sweep(self._look)
        # a proxy is sent whole URLs, where no TLS hides from it what is asked
        self._asks_proxy = self._proxy is not None and self._origin.local

    def _next_hop(self, origin: Origin) -> tuple[str, int]:
        return (origin.host, origin.port) if self._proxy is None else (self._proxy.host, self._proxy.port)

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        deadlines: Deadlines,
        may_end: MayEnd | None = None,
    ) -> PooledResponse:
        """Return the answer once its head is complete; raises TransportError, or ValueError for a URL elsewhere."""
        made = headers.made if isinstance(headers, SentHeaders) else None
        if made is not None and body is not None and made[0] == method and made[1] == url and made[2] is self:
            head = b"%b%d\r\n\r\n" % (made[3], len(body))
        else:
            head = self._head(method, url, headers, body)
        loop = self._loop
        if loop is None:  # asked for once: CPython 3.11 makes a system call of it
            loop = self._loop = asyncio.get_running_loop()
        if may_end is not None and (not body or len(body) > WRITE_BYTES):
            # there is no end to hold back; or a provider that stops reading would be waited for without a deadline
            await may_end()
            may_end = None
        start_s = loop.time()
        connection = self._take(start_s)
        if connection is None:
            # a task of its own: time-outs need one, and those who send may run without
            connection = await loop.create_task(self._connect(loop, start_s, deadlines))
        answer = None
        if may_end is not None and body is not None:
            size = len(body)
            held = size if size <= HELD_WHOLE_BYTES else HELD_BYTES
            answer = connection.send(head, body, _NEVER_S, deadlines, held)
            try:
                await may_end()
            except BaseException:
                answer.abort()
                raise
            if not self._send_end(connection, answer, body, held):
                answer = None  # it broke before the request was whole: the provider has nothing to act on
                start_s = loop.time()
                connection = self._take(start_s)
                if connection is None:
                    connection = await loop.create_task(self._connect(loop, start_s, deadlines))
        if answer is None:
            if self._sweep.watched is not deadlines:
                self._sweep.expect(loop, start_s, deadlines)
            answer = connection.send(head, body, start_s, deadlines)
            if body is not None and len(body) > WRITE_BYTES:
                await connection.write_large(answer, memoryview(body))
        try:
            while not answer.status:
                await answer.change()
        except asyncio.CancelledError:
            answer.abort()
            raise
        if self._asks_proxy and answer.status == 407:
            assert self._proxy is not None
            answer.abort()
            raise refused_by_proxy(407, self._proxy)
        return answer

    def _head(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
        """Return the head of a request, and keep it with headers that come again. Raises as send() does."""
        origin = self._origin
        if origin is None:
            raise TransportError("unreachable", "base_url is not a valid address", dispatched=False)
        sent = headers
        try:
            target = origin.targets.get(url) or origin.target(url)
            if self._asks_proxy:
                target, sent = self._for_proxy(origin, target, headers)
            head = request_head(method, target, origin.host_header, sent, body)
        except HeaderRefusedError as error:
            raise TransportError("broken", str(error), dispatched=False) from None
        if body is not None and isinstance(headers, SentHeaders):
            headers.made = (method, url, self, head[: head.rindex(_LENGTH) + len(_LENGTH)])
        return head

    def _send_end(self, connection: UpstreamConnection, answer: PooledResponse, body: bytes, held: int) -> bool:
        """Send the end of a request that was held back; False: the connection broke before.

        The deadlines begin now, as if all of it had left with its end.
        """
        if answer.failed:
            return False
        if answer.status == _TOO_SLOW or (not answer.status and connection.is_closing):
            answer.abort()  # it waited for the end longer than it does, and has nothing that it could act on
            return False
        assert self._loop is not None
        answer.start_s = start_s = self._loop.time()
        if self._sweep.watched is not answer.deadlines:
            self._sweep.expect(self._loop, start_s, answer.deadlines)
        connection.write_end(answer, body if held == len(body) else memoryview(body)[-held:])
        return True

    def _for_proxy(self, origin: Origin, target: str, headers: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
        """Return target and headers of a request that a proxy passes on in the open (RFC 9112, 3.2.2)."""
        assert self._proxy is not None
        authorization = self._proxy.authorization
        if authorization is not None:
            headers = {**headers, "Proxy-Authorization": authorization}
        return f"http://{origin.host_header}{target}", headers

    def connections(self) -> ConnectionCounts:
        if self._origin is None:
            return ConnectionCounts()
        return ConnectionCounts(len(self._open), len(self._idle), len(self._answers()), len(self._connecting))

    def _answers(self) -> list[PooledResponse]:
        """Return the answers of all exchanges that are under way."""
        return [connection.answer for connection in self._open if connection.answer is not None]

    async def close(self) -> None:
        """End every exchange and connection; returns when the last one is closed."""
        if self._origin is None:
            return
        self._closed = True
        self._addresses.close()
        for answer in self._answers():
            answer.fail("broken", "the connection was closed here")
        for timeout in self._connecting:
            timeout.reschedule(asyncio.get_running_loop().time())
        for connection in list(self._open):
            connection.abort()
        self._sweep.stop()
        if self._open:
            self._drained = self._drained or asyncio.get_running_loop().create_future()
            await asyncio.shield(self._drained)

    def _take(self, now_s: float) -> UpstreamConnection | None:
        """Return the connection that was used last, if one is usable."""
        while self._idle:
            connection, _ = self._idle.popitem()
            transport = connection.transport
            if (
                transport is not None
                and not transport.is_closing()
                and now_s - connection.idle_since_s < self._keepalive_s
            ):
                return connection
            connection.abort()
        return None

    async def _connect(
        self, loop: asyncio.AbstractEventLoop, start_s: float, deadlines: Deadlines
    ) -> UpstreamConnection:
        self._check_open()
        connection = UpstreamConnection(loop, self, self._heads)
        timeout = asyncio.timeout_at(start_s + min(deadlines.connect_s, deadlines.header_s))
        try:
            async with timeout:
                self._connecting.add(timeout)
                await self._establish(loop, connection)
        except TimeoutError:
            if self._closed:
                raise _unreachable("the connections to this provider are closed") from None
            raise timed_out(self._proxy) from None
        except ssl.SSLError as error:
            raise no_tls(error) from None
        except OSError as error:
            assert self._origin is not None
            raise no_connection(error, self._next_hop(self._origin)[0], self._proxy) from None
        finally:
            self._connecting.discard(timeout)
        if self._closed:
            connection.abort()
        if not connection.usable:
            raise _unreachable("the provider closed the connection before it was used")
        return connection

    def _check_open(self) -> None:
        """Raise TransportError where close() was called."""
        if self._closed:
            raise _unreachable("the connections to this provider are closed")

    async def _establish(self, loop: asyncio.AbstractEventLoop, connection: UpstreamConnection) -> None:
        origin = self._origin
        assert origin is not None
        try:
            sock = await connect(await self._addresses.get())
        except OSError:
            self._addresses.forget()
            raise
        if self._proxy is not None and self._tls is not None:
            try:
                await open_tunnel(loop, sock, origin, self._proxy)
            except BaseException:
                sock.close()
                raise
        if self._tls is None:
            await loop.create_connection(lambda: connection, sock=sock)
        else:
            await loop.create_connection(
                lambda: connection, sock=sock, ssl=self._tls, server_hostname=origin.server_hostname
            )

    # What connections tell.

    def made(self, connection: UpstreamConnection) -> None:
        self._open.add(connection)

    def freed(self, connection: UpstreamConnection, reusable: bool) -> None:
        if reusable and not self._closed:
            assert self._loop is not None
            connection.idle_since_s = self._loop.time()
            self._idle[connection] = None
        else:
            connection.abort()

    def stale(self, connection: UpstreamConnection) -> None:
        self._idle.pop(connection, None)

    def gone(self, connection: UpstreamConnection) -> None:
        self._idle.pop(connection, None)
        self._open.discard(connection)
        if self._drained is not None and not self._open and not self._drained.done():
            self._drained.set_result(None)

    def _look(self, now_s: float) -> float:
        """Check all exchanges against their deadlines; return when to look again."""
        answers = self._answers()
        for answer in answers:
            answer.check(now_s)
        while self._idle:
            connection = next(iter(self._idle))
            if now_s - connection.idle_since_s < self._keepalive_s:
                break
            del self._idle[connection]
            connection.abort()
        if answers:
            return now_s
        self._sweep.forget()
        return next(iter(self._idle)).idle_since_s + self._keepalive_s if self._idle else _NEVER_S


class _Sweep:
    """One timer for all exchanges: it runs while there are any, and then once more for the idle connections.

    look(now_s) gives when to look again, in the loop's time; infinity when nothing is left to look after.
    """

    __slots__ = ("_due_s", "_look", "_loop", "_tick_s", "_timer", "watched")

    def __init__(self, look: Callable[[float], float]) -> None:
        self._look = look
        self._loop: asyncio.AbstractEventLoop
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = _NEVER_S
        self._tick_s = _TICK_MAX_S
        self.watched: Deadlines | None = None  # an exchange with these needs no expect(): the timer runs often enough

    def expect(self, loop: asyncio.AbstractEventLoop, now_s: float, deadlines: Deadlines) -> None:
        """Watch an exchange with these deadlines, which begins now."""
        if deadlines is not self.watched:
            self.watched = deadlines
            shortest_s = min(deadlines.header_s, deadlines.idle_s, deadlines.total_s, deadlines.first_token_s)
            self._tick_s = max(_TICK_MIN_S, min(self._tick_s, shortest_s / _TICKS_A_DEADLINE))
        if self._due_s > now_s + self._tick_s:
            self._loop = loop
            self._arm(now_s + self._tick_s)

    def forget(self) -> None:
        """Stop looking often: no exchange is under way."""
        self.watched = None
        self._tick_s = _TICK_MAX_S

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.watched = None
        self._due_s = _NEVER_S

    def _arm(self, due_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due_s = due_s
        self._timer = self._loop.call_at(due_s, self._run)

    def _run(self) -> None:
        again_s = now_s = self._loop.time()
        try:
            again_s = self._look(now_s)
        finally:  # a failed check must not be the last: without checks nothing ever times out
            if again_s == _NEVER_S:
                self.stop()
            else:
                self._arm(max(again_s, now_s + self._tick_s))


def _unreachable(text: str) -> TransportError:
    return TransportError("unreachable", text, dispatched=False)
