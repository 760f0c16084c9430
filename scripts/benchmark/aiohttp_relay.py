"""A bare relay of aiohttp's server and aiohttp's client, as one would write it: what Python takes to pass requests on.

It puts in the provider's key. It knows no users, reads no body, counts and books nothing and writes no log.

    python aiohttp_relay.py PORT UPSTREAM KEY

UPSTREAM is the URL that stands for /v1/, with a slash at its end.
"""

import sys
from collections.abc import AsyncIterator

import uvloop
from aiohttp import ClientResponse, ClientSession, ClientTimeout, TCPConnector, web

_PASSED_BACK = ("Content-Type", "X-Generation-Id")
_BACKLOG = 4096  # as the others have it
_BODY_MAX_BYTES = 32 << 20


class Relay:
    def __init__(self, upstream: str, key: str) -> None:
        self._upstream = upstream
        self._key = key
        self._session: ClientSession

    async def session(self, _application: web.Application) -> AsyncIterator[None]:
        """Keep one client, and so one pool of connections, as long as the server runs."""
        connector = TCPConnector(limit=0)
        timeout = ClientTimeout(total=None)
        async with ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as self._session:
            yield

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        sent = {
            "Authorization": f"Bearer {self._key}",
            "Content-Type": request.headers.get("Content-Type", "application/json"),
            "Accept-Encoding": "identity",
        }
        url = self._upstream + request.match_info["path"]
        async with self._session.request(request.method, url, data=await request.read(), headers=sent) as answer:
            headers = {name: answer.headers[name] for name in _PASSED_BACK if name in answer.headers}
            if answer.content_type != "text/event-stream":
                return web.Response(body=await answer.read(), status=answer.status, headers=headers)
            return await _stream(request, answer, headers)


async def _stream(request: web.Request, answer: ClientResponse, headers: dict[str, str]) -> web.StreamResponse:
    passed = web.StreamResponse(status=answer.status, headers=headers)
    await passed.prepare(request)
    async for piece in answer.content.iter_any():
        await passed.write(piece)
    await passed.write_eof()
    return passed


def application(upstream: str, key: str) -> web.Application:
    relay = Relay(upstream, key)
    served = web.Application(client_max_size=_BODY_MAX_BYTES)
    served.cleanup_ctx.append(relay.session)
    served.router.add_route("*", "/v1/{path:.*}", relay.pass_on)
    return served


def main(port: str, upstream: str, key: str) -> None:
    served = application(upstream, key)
    loop = uvloop.new_event_loop()
    web.run_app(served, host="127.0.0.1", port=int(port), backlog=_BACKLOG, access_log=None, print=None, loop=loop)


if __name__ == "__main__":
    main(*sys.argv[1:])
