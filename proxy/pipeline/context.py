"""One HTTP request of a client while it is being answered."""

from collections.abc import Callable, Mapping
from typing import Any

from proxy.core.clock import Clock
from proxy.core.errors import ApiError
from proxy.core.latch import Latch
from proxy.pipeline.downstream import Downstream, Reply
from proxy.pipeline.idempotency_claim import IdempotencyClaim
from proxy.pipeline.snapshot import Snapshot
from proxy.pipeline.values.attempt import Attempt
from proxy.pipeline.values.body_shape import BodyShape
from proxy.pipeline.values.identity import Identity
from proxy.pipeline.values.settlement import STOPPED
from proxy.pipeline.values.tags import Tags
from proxy.storage.rows import id_text
from proxy.wire.endpoint import CHAT, Endpoint
from proxy.wire.headers import STREAM_HEADERS, header_lines
from proxy.wire.sse import KEEP_ALIVE


class RequestContext:
    """What a client asked for and who it is, how to write to it, and whether it is still there.

    What a step finds out is set once, by that step: snapshot by run(), identity by identify(), which comes again where
    the configuration has changed, body, size_bytes (as it was sent) and tags by read_request().
    """

    __slots__ = (
        "answer",
        "asked",
        "attempt",
        "began",
        "begin_stream",
        "body",
        "claim",
        "clock",
        "downgraded",
        "downstream",
        "endpoint",
        "gone",
        "id",
        "identity",
        "is_logged",
        "latch",
        "on_gone",
        "reply",
        "request_id",
        "shape",
        "size_bytes",
        "snapshot",
        "started_ms",
        "started_s",
        "stopped",
        "streams",
        "tags",
        "text",
        "told",
        "user",
        "waits_since_s",
        "written_bytes",
    )

    snapshot: Snapshot  # the configuration that it began with
    identity: Identity
    body: dict[str, Any]
    size_bytes: int
    tags: Tags

    def __init__(self, downstream: Downstream, id_: int, clock: Clock, now_ms: int) -> None:
        self.downstream = downstream
        self.id = id_
        self.request_id = id_text(id_)
        self.clock = clock
        self.started_ms = now_ms
        self.started_s = clock.monotonic_s()
        self.endpoint: Endpoint = CHAT
        self.gone = False
        self.downgraded = False  # a limit, the operator or an alert sent it to a preset instead
        self.began = False  # the head of an answer has been sent: no other answer is possible
        self.reply: Reply | None = None  # the one that was begun
        self.answer: Reply  # all of it, once it is there
        self.streams = False  # it is a stream of events
        self.told: Callable[[], dict[str, str]] = dict  # headers that every answer to this user carries
        self.user: str | None = None  # known after authentication
        self.asked: str | None = None  # the requested model, known once the body is read
        self.is_logged = False  # its end is decided, and its line of the access log comes with it
        self.claim: IdempotencyClaim | None = None  # of a request with an Idempotency-Key
        self.shape: BodyShape | None = None  # of the body, where it has that of others of its head
        self.text: bytes | None = None  # of a body of that shape, until it is sent; None: it is written anew
        self.written_bytes = 0  # of the body as it is written again; 0: not known
        self.waits_since_s = 0.0  # since when its stream shows no sign of life and could; 0: none may be put in
        self.begin_stream: Callable[[], object] | None = None  # sends the head of a buffered answer
        self.on_gone: Callable[[], None] | None = None
        self.latch: Latch | None = None  # what it waits for, where a client that goes ends the wait
        self.attempt: Attempt | None = None  # under way, or the last one
        self.stopped: ApiError | None = None  # the operator has cut it off, and this is its answer

    def set_gone(self) -> None:
        """Mark the client as gone; called by the server as soon as the connection is lost."""
        if not self.gone:
            self.gone = True
            if self.on_gone is not None:
                self.on_gone()

    def when_gone(self, callback: Callable[[], None] | None) -> None:
        """Call callback when the client hangs up, or the operator cuts it off; at once if that has happened."""
        self.on_gone = callback
        if callback is not None and (self.gone or self.stopped is not None):
            callback()

    async def wait_for(self, latch: Latch, timeout_s: float | None = None) -> bool:
        """Return whether it came, within timeout_s if that is given, and before the client went."""
        self.latch = latch
        self.when_gone(latch.give_up)
        try:
            return await latch.wait(timeout_s)
        finally:
            self.latch = None
            self.when_gone(None)

    def stop(self, error: ApiError) -> None:
        """Cut it off, whatever it does: what a provider sends is read no further, and the answer ends with error.

        One whose end is being written is left to it: its last bytes come when that is on disk, and nothing spends more.
        """
        if self.stopped is not None or self.is_logged:
            return
        self.stopped = error
        if self.attempt is not None:
            attempt_result = self.attempt.result
            attempt_result.flags |= {STOPPED}
            attempt_result.error = attempt_result.error or error.code
        if self.on_gone is not None:
            self.on_gone()
        else:
            self.downstream.interrupt()

    def whole(self, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
        """Return a complete answer, which the server writes."""
        if self.claim is not None:
            self.claim.keep(status, headers, body)
        return self.downstream.whole(status, headers, body, self.started_ms)

    def end_with_error(self, error: ApiError) -> bool:
        """Write an error into an answer whose head has gone out: a second head would be taken for a part of it.

        Return as write() does.
        """
        if self.claim is not None:
            self.claim.error = error
        if self.streams:
            event = self.endpoint.error_event(error.code, error.message, error.type, self.request_id, None)
            return self.write(event)
        return self.write(self.endpoint.error_body(error, self.request_id))

    def begin(self, status: int, lines: str) -> Reply:
        """Send the head of an answer whose pieces follow. lines: its headers, each with its end."""
        self.began = True
        if not self.gone:
            try:
                self.reply = self.downstream.begin(status, lines, self.started_ms)
            except ConnectionError:
                self.set_gone()
            else:
                return self.reply
        self.reply = self.downstream.whole_of_lines(status, lines, b"", self.started_ms)  # for nobody
        return self.reply

    def show_life(self, now_s: float) -> None:
        """Send a comment, so that no timer on the way runs out; the head goes ahead of it if it has not gone."""
        if self.reply is None:
            if self.begin_stream is not None:
                self.begin_stream()
            else:  # no provider has answered yet, so the head cannot name one
                told = {"content-type": "text/event-stream", **self.told(), "x-request-id": self.request_id}
                self.begin(200, header_lines({**told, **STREAM_HEADERS}))
        self.streams = True
        self.waits_since_s = now_s
        self.write(KEEP_ALIVE)

    def cut(self) -> None:
        """Drop the connection of a client that does not read."""
        self.downstream.cut()
        self.set_gone()

    def write(self, data: bytes) -> bool:
        """Write a piece of the answer that was begun; False when so much is unsent that drained() should be awaited.

        Writing to a client that has gone does nothing: the answer is read to its end for the ledger's sake.
        """
        if self.gone or not data:
            return True
        try:
            return self.downstream.write(data)
        except ConnectionError:
            self.set_gone()
            return True

    async def drained(self) -> None:
        """Wait until most is sent. A client that reads nothing for long is cut off by the server."""
        try:
            await self.downstream.drained()
        except ConnectionError:
            self.set_gone()
