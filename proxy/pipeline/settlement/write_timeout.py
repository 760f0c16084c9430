"""How long the end of an answer waits for the disk: one timer for all that wait, in place of one for each."""

import asyncio
import logging

from proxy.core.eager_task import InlineFuture

log = logging.getLogger("tollkeeper.record")

_LOOK_EVERY_S = 0.1  # while anything waits; until then what is done already stays in the list, but no request with it


class WriteTimeout:
    """The waits, in the order in which they began."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, InlineFuture[None], str]] = []
        self._is_timed = False
        self._next_look_s = 0.0

    def expect(self, written: InlineFuture[None], wait_s: float, request_id: str) -> None:
        """Let go whoever awaits written after wait_s, or little later, where the disk has not done so by then."""
        if not self._is_timed:
            self._look_later(written.loop)
        self._waiting.append((self._next_look_s + wait_s, written, request_id))

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_timed = True
        self._next_look_s = loop.time() + _LOOK_EVERY_S
        loop.call_at(self._next_look_s, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._waiting = waiting = [each for each in self._waiting if not each[1].is_done]
        self._is_timed = False
        if waiting:
            self._look_later(loop)
        now_s = loop.time()
        for _, written, request_id in [each for each in waiting if each[0] <= now_s]:
            if not written.is_done:  # one that was let go may have ended another
                log.error("settlement.late", extra={"request_id": request_id})
                written.set_result(None)
