"""GET /dashboard/events: tell open pages that something has changed, so that they read their live parts again."""

import asyncio
from typing import Final

from proxy.core.errors import OwnError
from proxy.core.latch import Latch
from proxy.web.dashboard.door import is_tls
from proxy.web.dashboard.response_headers import security_headers
from proxy.web.dashboard.sessions import session_of
from proxy.web.dashboard.view import DashboardRequest, View, Whole
from proxy.web.deps import Deps
from proxy.web.json_reply import own_reply
from proxy.web.server.aiohttp_downstream import aiohttp_request
from proxy.wire.headers import STREAM_HEADERS
from proxy.wire.sse import KEEP_ALIVE

_LOOK_S: Final = 2.0
_STEP: Final = (5**0.5 - 1) / 2  # the golden ratio's: any number of its steps around a circle lie evenly on it
_SILENCE_S: Final = 15.0
_STREAMS_MAX: Final = 200
_FIRST: Final = b"retry: 3000\n\n"
_TICK: Final = b"event: tick\ndata: \n\n"
_BYE: Final = b"event: bye\ndata: \n\n"
Stamp = tuple[int, ...]


def change_stamp(deps: Deps) -> Stamp:
    """Return numbers that differ whenever something has happened that pages show."""
    services, sync = deps.services, deps.dashboard.sync
    counters = services.counters
    return (
        sum(counters.ended().requests.values()),
        sum(counters.refusals.values()),
        sum(counters.adjustments.values()),
        len(services.in_flight),
        len(services.stops.in_force()),
        id(services.live.current),
        0 if sync is None else sync.done + sync.is_over,
    )


def wait_s(stream: int, now_s: float) -> float:
    """Return the seconds to a stream's next look, up to _LOOK_S: each has a moment of its own within them.

    stream: a number that no other one has. Were all to look at once, all their pages would ask again at once.
    """
    return (stream * _STEP * _LOOK_S - now_s) % _LOOK_S


async def _events(request: DashboardRequest) -> Whole:
    """Stream a tick at each change, at most one in two seconds, until the browser goes or the login ends."""
    state, context = request.deps.dashboard, request.context
    headers = {**security_headers(is_tls(context)), "Content-Type": "text/event-stream", **STREAM_HEADERS}
    if aiohttp_request(context).method == "HEAD":
        return Whole(own_reply(context, 200, headers))
    if state.streams >= _STREAMS_MAX:
        raise OwnError(503, "too_many_viewers", f"{_STREAMS_MAX} live pages are open. Close one.", retry_after_s=30)
    state.streams += 1
    state.streams_begun += 1
    try:
        reply = context.begin(200, headers)
        context.streams = True
        context.write(_FIRST)
        await _tick(request, state.streams_begun)
    finally:
        state.streams -= 1
    return Whole(reply)


async def _tick(request: DashboardRequest, stream: int) -> None:
    context, services, loop = request.context, request.deps.services, asyncio.get_running_loop()
    stamp, silent_s = change_stamp(request.deps), 0.0
    due_s = loop.time() + wait_s(stream, loop.time())
    while not context.gone:
        await context.wait_for(Latch(), due_s - loop.time())
        if services.draining or session_of(context, request.deps, "operator", is_use=False) is None:
            context.write(_BYE)
            return
        now, silent_s = change_stamp(request.deps), silent_s + _LOOK_S
        sent = _TICK if now != stamp else KEEP_ALIVE if silent_s >= _SILENCE_S else b""
        if sent:
            stamp, silent_s = now, 0.0
            if not context.write(sent):
                await context.drained()
        due_s = max(due_s + _LOOK_S, loop.time() + wait_s(stream, loop.time()))


VIEWS = (View("GET", "/dashboard/events", _events, "Live"),)
