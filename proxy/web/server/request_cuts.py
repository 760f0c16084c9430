"""Cut what a client sends where a request may end, so that no request is lost by what came in one packet with it. Pure.

llhttp, as aiohttp drives it, gives nothing of a packet that holds an error: not the whole requests before it either.
"""

from typing import Final

CUTS_MAX: Final = 64  # of a packet; who sends more ends of heads in one has nothing to say by them
_END: Final = b"\r\n\r\n"  # of a head without a body, and of a body in chunks


class RequestCuts:
    """Where one connection's bytes are cut. body_bytes: of a body whose length is known, those that are to come."""

    __slots__ = ("_last", "body_bytes")

    def __init__(self) -> None:
        self.body_bytes = 0
        self._last = b""  # of the packet before, as far as an end may have begun in it

    def next_cut(self, data: bytes, start: int) -> int:
        """Return where the piece that begins at start ends: where a request may end, else where data does."""
        if self.body_bytes:
            end = min(start + self.body_bytes, len(data))
            self.body_bytes -= end - start
            return end
        last, self._last = self._last, b""
        if last:
            at = (last + data[:3]).find(_END)
            if at >= 0:
                return at + len(_END) - len(last)
        at = data.find(_END, start)
        if at >= 0:
            return at + len(_END)
        self._last = (last + data[max(start, len(data) - 3) :])[-3:]
        return len(data)
