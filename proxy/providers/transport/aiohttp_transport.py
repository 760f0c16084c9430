"""The reference transport: aiohttp's client, where the pool's parser is missing, and as its yardstick.

Foreign errors end here: aiohttp's exceptions carry the Authorization header in their repr, so none leaves this file.
"""

import asyncio
import io
import ssl
import zlib
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp import DummyCookieJar

from proxy.providers.deadlines import Deadlines
from proxy.providers.transport.base import NO_CONTENT, ChunkPassage, ConnectionCounts, MayEnd, Take, read_to
from proxy.providers.transport.connect_errors import no_connection, no_tls, refused_by_proxy, timed_out
from proxy.providers.transport.errors import Kind, TransportError
from proxy.providers.transport.inflate import ENCODINGS, Inflater
from proxy.providers.transport.network import DIRECT, Network, ProxyServer, tls_context
from proxy.wire.headers import header_lines, pick_response_headers

# Cloudflare and load balancers keep idle connections for minutes; a local uvicorn closes them after 5 s, and a
# request sent into a closing connection cannot be told from a billed one.
_KEEPALIVE_REMOTE_S = 30.0
_KEEPALIVE_LOCAL_S = 4.0
_DNS_CACHE_S = 60
_LARGE_BODY_BYTES = 1 << 20  # aiohttp sends bytes in one write and warns above this; a stream is written in pieces
_HEADER_MAX_BYTES = 1 << 16  # the answer is paid for: an odd header is dropped, the answer kept
_HEADERS_MAX = 1000
_READ_BUFFER_BYTES = 1 << 18  # back-pressure: reading from the provider pauses at twice this


class _Watch:
    """One timer an exchange for the idle and the total deadline; a chunk costs one assignment."""

    __slots__ = ("_answer", "_deadlines", "_handle", "_loop", "_start", "expired", "last")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, start: float, deadlines: Deadlines, answer: "AiohttpResponse"
    ) -> None:
        self._loop = loop
        self._start = start
        self._deadlines = deadlines
        self._answer: AiohttpResponse | None = answer
        self.last = loop.time()
        self.expired: Kind | None = None
        # awaits_content is set only after this, so look again at that moment
        self._handle = loop.call_at(min(self._due()[0], start + deadlines.first_token_s), self._check)

    def _due(self) -> tuple[float, Kind]:
        idle = self.last + self._deadlines.idle_s
        total = self._start + self._deadlines.total_s
        first_token = self._start + self._deadlines.first_token_s
        if first_token < min(idle, total) and self._answer is not None and self._answer.awaits_content:
            return first_token, "first_token_timeout"
        return (idle, "idle_timeout") if idle < total else (total, "total_timeout")

    def _check(self) -> None:
        due, kind = self._due()
        if self._loop.time() >= due:
            self.expired = kind
            if self._answer is not None:
                self._answer.abort()
        else:
            self._handle = self._loop.call_at(due, self._check)

    def stop(self) -> None:
        self._handle.cancel()
        self._answer = None  # the circle of answer and watch ends here


class AiohttpResponse:
    """Answer over aiohttp's client."""

    __slots__ = ("_by_name", "_content", "_inflater", "_response", "_watch", "awaits_content", "headers", "status")

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        loop: asyncio.AbstractEventLoop,
        start: float,
        deadlines: Deadlines,
    ) -> None:
        self.awaits_content = False
        self._response = response
        self._content = response.content
        self.status = response.status
        self._inflater = _inflater(response.headers.get("Content-Encoding"))
        # aiohttp reads them as UTF-8; as they came they can be written again
        self.headers: Sequence[tuple[str, str]] = tuple(
            (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in response.raw_headers
        )
        self._by_name = dict(reversed(self.headers))  # the first of a name counts
        self._watch = _Watch(loop, start, deadlines, self)

    def header(self, name: str) -> str | None:
        return self._by_name.get(name)

    def passed(self, secret: str) -> dict[str, str]:
        return dict(pick_response_headers(self.headers, secret))

    def passed_lines(self, secret: str) -> str:
        return header_lines(self.passed(secret))

    @property
    def is_read(self) -> bool:
        return False

    @property
    def is_at_hand(self) -> bool:
        return False  # aiohttp does not tell what has arrived

    def whole(self) -> bytes | None:
        return None

    async def read(self) -> bytes:
        if self._inflater is None:
            return await self._read()
        try:
            while not (piece := self._inflater.take()):
                chunk = await self._read()
                if not chunk and self._inflater.ended:
                    return b""
                self._inflater.feed(chunk)
        except zlib.error:
            self.abort()
            raise TransportError(
                "broken", "the provider's answer is compressed and cannot be decompressed", dispatched=True
            ) from None
        return piece

    def pump(self, take: Take, passage: ChunkPassage | None = None) -> Coroutine[Any, Any, bool]:  # noqa: ARG002 - aiohttp takes the framing off
        return read_to(self, take)

    async def _read(self) -> bytes:
        try:
            chunk = await self._content.readany()
        except (aiohttp.ClientError, OSError, TimeoutError, asyncio.IncompleteReadError):
            if unread := _unread(self._content):
                return unread  # the next read raises again
            self._watch.stop()
            self._response.close()
            raise self._broken() from None
        if not chunk:
            self._watch.stop()
            if self._watch.expired:
                raise self._broken()
        else:
            self._watch.last = asyncio.get_running_loop().time()
        return chunk

    def _broken(self) -> TransportError:
        if self._watch.expired == "idle_timeout":
            return TransportError(
                "idle_timeout", "the provider went silent in the middle of its answer", dispatched=True
            )
        if self._watch.expired == "first_token_timeout":
            return TransportError("first_token_timeout", NO_CONTENT, dispatched=True)
        if self._watch.expired == "total_timeout":
            return TransportError("total_timeout", "the provider took longer than the total time-out", dispatched=True)
        return TransportError(
            "broken", "the connection to the provider broke in the middle of its answer", dispatched=True
        )

    def abort(self) -> None:
        self._watch.stop()
        self._response.close()


class AiohttpTransport:
    """The reference transport: aiohttp's client, one pool a provider."""

    def __init__(self, base_url: str, network: Network = DIRECT, *, verify: ssl.SSLContext | None = None) -> None:
        local = urlsplit(base_url).scheme == "http"
        self._is_local = local
        self._host = urlsplit(base_url).hostname or ""
        self._proxy = network.proxy
        authorization = None if network.proxy is None else network.proxy.authorization
        self._proxy_headers = None if authorization is None else {"Proxy-Authorization": authorization}
        if verify is None and network.ca_pem is not None and not local:
            verify = tls_context(network.ca_pem)
        self._connector = aiohttp.TCPConnector(
            ssl=True if verify is None else verify,
            limit=0,  # concurrency is limited by quotas, not by a pool that would queue unseen
            keepalive_timeout=_KEEPALIVE_LOCAL_S if local else _KEEPALIVE_REMOTE_S,
            ttl_dns_cache=_DNS_CACHE_S,
        )
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            cookie_jar=DummyCookieJar(),  # one user's cookie must never travel with another's request
            auto_decompress=False,
            trust_env=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            read_bufsize=_READ_BUFFER_BYTES,
            max_field_size=_HEADER_MAX_BYTES,
            max_headers=_HEADERS_MAX,
            timeout=aiohttp.ClientTimeout(total=None),
        )

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        deadlines: Deadlines,
        may_end: MayEnd | None = None,
    ) -> AiohttpResponse:
        if may_end is not None:  # aiohttp has no way to hold back the end of a body whose length is known
            await may_end()
        loop = asyncio.get_running_loop()
        start = loop.time()
        data = io.BytesIO(body) if body is not None and len(body) > _LARGE_BODY_BYTES else body
        try:
            # a task of its own: time-outs need one, and those who send may run without
            response = await loop.create_task(self._request(method, url, headers, data, deadlines))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise _translate(error, self._host, self._proxy) from None
        if response.status == 407 and self._proxy is not None:
            response.close()
            raise refused_by_proxy(407, self._proxy)
        if not 200 <= response.status < 600:  # 101 among them: to another protocol nobody asked to change
            response.close()
            text = f"the provider's answer is not valid HTTP/1.1: it has the status {response.status}"
            raise TransportError("broken", text, dispatched=True)
        return AiohttpResponse(response, loop, start, deadlines)

    async def _request(
        self, method: str, url: str, headers: Mapping[str, str], data: Any, deadlines: Deadlines
    ) -> aiohttp.ClientResponse:
        if self._proxy_headers is not None and self._is_local:  # without a tunnel the request itself carries them
            headers = {**headers, **self._proxy_headers}
        async with asyncio.timeout(deadlines.header_s):
            return await self._session.request(
                method,
                url,
                data=data,
                headers=headers,
                allow_redirects=False,  # the key goes to the configured host and nowhere else
                timeout=aiohttp.ClientTimeout(total=None, connect=deadlines.connect_s),
                proxy=None if self._proxy is None else self._proxy.url,
                proxy_headers=self._proxy_headers,
            )

    def connections(self) -> ConnectionCounts:
        acquired = len(self._connector._acquired)  # noqa: SLF001 - there is no public way to it
        idle = sum(map(len, self._connector._conns.values()))  # noqa: SLF001
        return ConnectionCounts(acquired + idle, idle, acquired)

    async def close(self) -> None:
        await self._session.close()


def _unread(content: aiohttp.StreamReader) -> bytes:
    """Return what arrived before a break: aiohttp's reader raises at once and leaves it unread."""
    pieces = content._buffer  # noqa: SLF001 - there is no public way to it once there is an exception
    unread = b"".join(pieces)
    pieces.clear()
    return unread


def _inflater(encoding: str | None) -> Inflater | None:
    name = (encoding or "").strip().lower()
    return Inflater(name) if name in ENCODINGS else None


def _translate(error: Exception, host: str, proxy: ProxyServer | None) -> TransportError:
    """Return our error for aiohttp's, before the headers of an answer have arrived."""
    match error:
        case aiohttp.ConnectionTimeoutError():
            return timed_out(proxy)
        case aiohttp.ClientHttpProxyError() if proxy is not None:
            return refused_by_proxy(error.status, proxy)
        case aiohttp.ClientConnectorCertificateError():
            return no_tls(_certificate_error(error.certificate_error))
        case aiohttp.ClientConnectorSSLError():
            cause = error.os_error
            return no_tls(cause if isinstance(cause, ssl.SSLError) else ssl.SSLError())
        case ssl.SSLError():
            return no_tls(error)
        case aiohttp.ClientSSLError():
            return no_tls(ssl.SSLError())
        case aiohttp.ClientConnectorError():
            return no_connection(error.os_error, host if proxy is None else proxy.host, proxy)
        case aiohttp.InvalidURL():
            return TransportError("unreachable", "base_url is not a valid address", dispatched=False)
        case TimeoutError():
            return TransportError("header_timeout", "no answer began within the header time-out", dispatched=True)
        case _:
            return TransportError("broken", "the connection broke before an answer began", dispatched=True)


def _certificate_error(error: Exception) -> ssl.SSLError:
    return error if isinstance(error, ssl.SSLError) else ssl.SSLError()
