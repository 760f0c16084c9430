"""How long the end of an answer waits for the disk: one timer for all that wait, in place of one for each."""

import asyncio
import logging

from proxy.core.eager_task import InlineFuture

log = logging.getLogger("tollkeeper.record")

_LOOK_EVERY_S = 0.1  # while anything waits; until then what is done already stays in the list, but no request with it


class WriteTimeout:
    """The waits, in the order in which they began.

    Who waits sees to it that is_timed, by look_later(), and adds to waiting what is awaited, its request's id, and when
    it is let go where the disk has not done so by then: next_look_s and the longest wait. Each request does, so that it
    enters no function for it.
    """

    def __init__(self) -> None:
        self.waiting: list[tuple[float, InlineFuture[None], str]] = []
        self.is_timed = False
        self.next_look_s = 0.0

    def look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look soon for those that have waited too long."""
        self.is_timed = True
        self.next_look_s = loop.time() + _LOOK_EVERY_S
        loop.call_at(self.next_look_s, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self.waiting = waiting = [each for each in self.waiting if not each[1].is_done]
        self.is_timed = False
        if waiting:
            self.look_later(loop)
        now_s = loop.time()
        for _, written, request_id in [each for each in waiting if each[0] <= now_s]:
            if not written.is_done:  # one that was let go may have ended another
                log.error("settlement.late", extra={"request_id": request_id})
                written.set_result(None)
