"""Keep clients from giving up on streams without content yet: a comment now and then, which clients skip."""

import asyncio

from proxy.core.clock import Clock
from proxy.pipeline.in_flight import InFlight
from proxy.pipeline.snapshot import Live

_LOOK_MAX_S = 0.5
_LOOKS = 4  # within the shorter of the two times


async def show_life(in_flight: InFlight, live: Live, clock: Clock) -> None:
    """Run until cancelled. One look at all calls costs less than a timer for each."""
    while True:
        server = live.current.settings.server
        now_s = clock.monotonic_s()
        for call in in_flight.waiting():
            begun = call.reply is not None or call.begin_stream is not None
            limit_s = server.keep_alive_s if begun else server.silence_max_s
            if now_s - call.waits_since_s >= limit_s:
                call.show_life(now_s)
        await asyncio.sleep(min(_LOOK_MAX_S, min(server.keep_alive_s, server.silence_max_s) / _LOOKS))
