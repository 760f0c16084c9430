"""Stream to a page that is open what changes: its live part, or that something has.

A part is looked at every two seconds, where many pages are open every four or six, and read only if anything has
happened since; all who look at the same one do so shortly after one another, so that it is made once, and no two of
them are written to in the same turn of the loop.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from proxy.core.errors import ApiError, OwnError
from proxy.core.latch import Latch
from proxy.pipeline.downstream import Reply
from proxy.web.dashboard.door import is_tls
from proxy.web.dashboard.fragments import MadeFragment, Stamp
from proxy.web.dashboard.response_headers import security_headers
from proxy.web.dashboard.sessions import session_of
from proxy.web.dashboard.view import DashboardRequest
from proxy.web.deps import Deps
from proxy.web.json_reply import own_reply
from proxy.web.server.aiohttp_downstream import aiohttp_request
from proxy.wire.headers import STREAM_HEADERS, header_lines
from proxy.wire.sse import KEEP_ALIVE

_LOOK_S: Final = 2.0
_CROWD: Final = 25  # so many more streams make all of them look one _LOOK_S later: requests come first
_LOOKS_MAX_S: Final = 6.0
_SPREAD_S: Final = 0.75  # the looks of all who follow one part; less than a part that was made is kept for
_STEP: Final = (5**0.5 - 1) / 2  # the golden ratio's: any number of its steps around a circle lie evenly on it
_SILENCE_S: Final = 15.0
_STREAMS_MAX: Final = 200
_FIRST: Final = b"retry: 3000\n\n"
_TICK: Final = b"event: tick\ndata: \n\n"
_BYE: Final = b"event: bye\ndata: \n\n"

ReadPart = Callable[[Stamp], Awaitable[MadeFragment]]
"""Return the part that is followed, made at or after the moment of a stamp, or a little before; raises ApiError."""


def change_stamp(deps: Deps) -> Stamp:
    """Return numbers that differ whenever something has happened that pages show."""
    services, sync = deps.services, deps.dashboard.sync
    counters = services.counters
    return (
        *counters.seen(),
        sum(counters.refusals.values()),
        sum(counters.adjustments.values()),
        len(services.in_flight),
        len(services.stops.in_force()),
        id(services.live.current),
        0 if sync is None else sync.done + sync.is_over,
    )


def look_s(streams: int) -> float:
    """Return the seconds from one look to the next, by how many streams there are."""
    return min(_LOOKS_MAX_S, _LOOK_S * (1 + (streams - 1) // _CROWD))


def wait_s(stream: int, part: str, now_s: float, every_s: float = _LOOK_S) -> float:
    """Return the seconds to a stream's next look, up to every_s: each has a moment of its own within them.

    stream: a number that no other one has. part: what it follows; those of the same part come after one another.
    """
    begin_s = hash(part) % 1000 / 1000 * every_s
    return (begin_s + stream * _STEP % 1 * _SPREAD_S - now_s) % every_s


async def stream_events(request: DashboardRequest, part: str, read: ReadPart | None) -> Reply:
    """Stream the part at each change, or ticks where there is none, until the browser goes or the login ends."""
    state, context = request.deps.dashboard, request.context
    headers = {**security_headers(is_tls(context)), "Content-Type": "text/event-stream", **STREAM_HEADERS}
    if aiohttp_request(context).method == "HEAD":
        return own_reply(context, 200, headers)
    if state.streams >= _STREAMS_MAX:
        raise OwnError(503, "too_many_viewers", f"{_STREAMS_MAX} live pages are open. Close one.", retry_after_s=30)
    state.streams += 1
    state.streams_begun += 1
    try:
        reply = context.begin(200, header_lines(headers))
        context.streams = True
        context.write(_FIRST)
        await _Stream(request, part, read).run(state.streams_begun)
    finally:
        state.streams -= 1
    return reply


class _Stream:
    """A page that is open, and what it has."""

    def __init__(self, request: DashboardRequest, part: str, read: ReadPart | None) -> None:
        self._request, self._part, self._read = request, part, read
        # a page shows its part as it was some time before: that is sent once in any case
        self._stamp = () if read else change_stamp(request.deps)
        self._etag = ""
        self._checked: tuple[object, int] | None = None  # under which configuration, and after how many ends

    async def run(self, number: int) -> None:
        """Look again and again; number: which stream it is."""
        context, loop, silent_s = self._request.context, asyncio.get_running_loop(), 0.0
        state = self._request.deps.dashboard
        due_s = loop.time() + wait_s(number, self._part, loop.time())
        while not context.gone:
            await context.wait_for(Latch(), due_s - loop.time())
            if self._is_over():
                context.write(_BYE)
                return
            every_s = look_s(state.streams)
            silent_s += every_s
            sent = await self._news() or (KEEP_ALIVE if silent_s >= _SILENCE_S else b"")
            if sent:
                silent_s = 0.0
                if not context.write(sent):
                    await context.drained()
            due_s = max(due_s + every_s, loop.time() + wait_s(number, self._part, loop.time(), every_s))

    def _is_over(self) -> bool:
        """Return whether the proxy ends, or the browser has to show again who it is, and may see what."""
        deps, checked = self._request.deps, self._checked
        if deps.services.draining:
            return True
        snapshot, ends = deps.services.live.current, deps.sessions.ends
        if checked is not None and checked[0] is snapshot and checked[1] == ends:
            return False  # what is over by its time is ended within a second, which counts
        session = session_of(self._request.context, deps, "operator", is_use=False)
        self._checked = snapshot, ends
        return session is None or session.role is not self._request.session.role

    async def _news(self) -> bytes:
        """Return what the page has to hear; nothing where it has all of it."""
        now = change_stamp(self._request.deps)
        if now == self._stamp:
            return b""
        if self._read is None:
            self._stamp = now
            return _TICK
        try:
            made = await self._read(now)
        except ApiError:  # a ledger that can not be read for now: the next look tries again
            return b""
        self._stamp = made.stamp
        if made.etag == self._etag:
            return b""
        self._etag = made.etag
        return made.event
