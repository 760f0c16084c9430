"""A request that comes from within the process, and its answer in memory."""

from collections.abc import Mapping

from multidict import CIMultiDict

from proxy.pipeline.downstream import BodyTooLargeError, Reply
from proxy.pipeline.values.request_headers import RequestHeaders
from proxy.wire.headers import headers_of


class CollectingDownstream:
    """Downstream that keeps status, headers and body of its answer; nobody can hang up."""

    def __init__(self, path: str, headers: Mapping[str, str], body: bytes) -> None:
        self.path = path
        self.address = ""
        self.request_headers = RequestHeaders(CIMultiDict(headers))
        self.body: bytes | None = body
        self.status = 0
        self.headers: dict[str, str] = {}
        self.collected = bytearray()

    async def read_body(self, max_bytes: int, timeout_s: float) -> bytes:
        del timeout_s  # all of it is here
        body = self.body or b""
        if len(body) > max_bytes:
            raise BodyTooLargeError
        return body

    def whole(self, status: int, headers: Mapping[str, str], body: bytes, now_ms: int, *, close: bool = False) -> Reply:
        del now_ms, close
        self.status, self.headers = status, dict(headers)
        self.collected += body
        return self

    def whole_of_lines(self, status: int, lines: str, body: bytes, now_ms: int) -> Reply:
        return self.whole(status, headers_of(lines), body, now_ms)

    def send_ahead(self, status: int, lines: str, body: bytes, held: int, now_ms: int) -> None:
        """Write nothing: it is read when it is complete."""

    def begin(self, status: int, lines: str, now_ms: int) -> Reply:
        del now_ms
        self.status, self.headers = status, headers_of(lines)
        return self

    def write(self, data: bytes) -> bool:
        self.collected += data
        return True

    def chunks_writer(self) -> None:
        """Return None: what is collected has no framing."""
        return

    async def drained(self) -> None:
        """Return at once: memory is never full."""

    def cut(self) -> None:
        """Do nothing: there is no connection."""

    def interrupt(self) -> None:
        """Do nothing: what is asked within the process goes to no provider."""
