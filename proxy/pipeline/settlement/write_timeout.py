"""How long the end of an answer waits for the disk: one timer for all that wait, in place of one for each."""

import asyncio
import logging
from operator import attrgetter

from proxy.core.eager_task import InlineFuture

log = logging.getLogger("tollkeeper.record")

_LOOK_EVERY_S = 0.1  # while anything waits; until then what is done already stays in the list, but no request with it


_is_done = attrgetter("is_done")


class WriteTimeout:
    """The waits, in the order in which they began.

    Who waits sees to it that is_timed, by look_later(), sets longest_s, and adds to waiting what is awaited, with its
    request's id. Each request does, so that it enters no function for it. It is let go where the disk has not done so
    longest_s after the next look.
    """

    def __init__(self) -> None:
        self.waiting: dict[InlineFuture[None], str] = {}  # since the last look
        self.longest_s = 0.0
        self.is_timed = False
        self._late: list[tuple[float, InlineFuture[None], str]] = []  # from before it, with the end of their waits

    def look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look soon for those that have waited too long."""
        self.is_timed = True
        loop.call_later(_LOOK_EVERY_S, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self.is_timed = False
        now_s, late = loop.time(), [each for each in self._late if not each[1].is_done]
        if not all(map(_is_done, self.waiting)):  # hardly ever
            until_s = now_s + self.longest_s
            late += [(until_s, written, id_) for written, id_ in self.waiting.items() if not written.is_done]
        self.waiting.clear()
        self._late = late
        if late:
            self.look_later(loop)
        for _, written, request_id in [each for each in late if each[0] <= now_s]:
            if not written.is_done:  # one that was let go may have ended another
                log.error("settlement.late", extra={"request_id": request_id})
                written.set_result(None)
