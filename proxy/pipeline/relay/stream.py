"""A stream to the client as it comes: a meter listens, and the last bytes wait for the settlement."""

import asyncio

from proxy.core.errors import ApiError
from proxy.pipeline.downstream import Reply
from proxy.pipeline.errors import CLIENT_GONE_STATUS
from proxy.pipeline.relay.base import Relay
from proxy.providers.transport.base import ChunkPassage, TransportError
from proxy.providers.transport.inflate import ENCODINGS
from proxy.wire.endpoint import Meter
from proxy.wire.redact import ErrorScreen

_AFTER_DONE_S = 1.0  # a provider that keeps the connection open after [DONE] must not keep the client waiting
_TRAILER_MAX_S = 5.0  # nor one that goes on sending nothing of meaning
_NEVER_S = float("inf")  # "last activity" that no time-out ever reaches
_READABLE = ENCODINGS | {"", "identity"}
_TAIL_BYTES = 4  # the longest end of an event: CR LF CR LF


class StreamRelay(Relay):
    """Server-sent events: forwarded as they come, from ``data: [DONE]`` on held until the settlement is on disk."""

    meter: Meter
    passage: ChunkPassage | None = None  # of chunks that go to the client as they are
    tail = b""  # the last bytes that went to the client
    stopped = False  # nothing came after [DONE], and we stopped reading
    packed = False  # in a way that cannot be decompressed here: it passes unread
    looks = True  # at each piece: before the first content, and once the client has gone

    async def run(self) -> Reply:
        self.meter = self.listener()
        response = self.begin()
        self.context.streams = True
        self.context.when_gone(self._gone)
        await self.close(*self.ended(await self.passed_on()))
        return response

    def listener(self) -> Meter:
        make = self.context.endpoint.meter
        assert make is not None, "an endpoint without streams has no answer that is one"
        encoding = self.answer.header("content-encoding")
        self.packed = encoding is not None and encoding.strip().lower() not in _READABLE
        if self.packed:
            self.context.waits_since_s = 0.0  # no comment of ours can be inserted
        meter = make(self.attempt.hide_usage and not self.packed)
        meter.cost_paths = self.attempt.provider.dialect.cost_paths
        if self.attempt.key.quoted_bytes:
            meter.screen = ErrorScreen(self.attempt.key.quoted_bytes)
        return meter

    async def passed_on(self) -> TransportError | None:
        """Pass on all that comes, up to [DONE] and what follows it; return the error that broke it.

        Reading waits for a slow client.
        """
        answer, context, meter, passage = self.answer, self.context, self.meter, self.chunk_passage()
        try:
            while not meter.done:
                if await answer.pump(self._take, passage):
                    return None
                if not meter.done:
                    await context.drained()
            if not answer.is_read:  # else it ended in the read that held [DONE]
                await self._after_done()
            if meter.goes_on:
                self.forward(meter.release())
                while not await answer.pump(self._take):
                    await context.drained()
        except TransportError as error:
            return error
        return None

    def ended(self, broke: TransportError | None) -> tuple[bytes, ApiError | None]:
        """Record everything the meter read; return what was kept back, and the error for the client."""
        rest = self.meter.finish()
        self._hear(self.meter)
        failure = self._failure(self.meter, broke)
        self.attempt_result.complete = failure is None and not self.attempt_result.aborted
        return rest, failure

    async def close(self, rest: bytes, failure: ApiError | None) -> None:
        """Settle, then send the end."""
        context = self.context
        await self.finish(CLIENT_GONE_STATUS if context.gone else self.answer.status)  # as status()
        if failure is None:
            if not context.write(rest + self.meter.held):
                await context.drained()
        elif self.is_unread:  # text after compressed bytes would be read as part of them: end without the final chunk
            context.cut()
        else:  # rest is a begun event that the client has not seen yet: without its end it says nothing
            event = context.endpoint.error_event(
                failure.code, failure.message, failure.type, context.request_id, self.meter.generation_id
            )
            await self.write(gap(self.tail) + event)

    @property
    def is_unread(self) -> bool:
        """Return whether the body is compressed; some servers name a coding and use none."""
        return self.packed and not self.meter.content_seen

    def _failure(self, meter: Meter, broke: TransportError | None) -> ApiError | None:
        """Return the error that the client must get: that the answer is not whole.

        A body that ended as its framing says is whole when each choice has told why it ended, or the usage came that is
        sent last: a missing [DONE] alone is no loss. Where the connection broke both must have come.
        """
        if self.attempt_result.aborted or meter.error_seen or (meter.done and (broke is None or not meter.goes_on)):
            return None
        if self.is_unread and broke is None:
            return None
        billed = self.context.endpoint.asks_usage and meter.usage is not None
        if broke is not None:
            return None if billed and meter.finished else self.note_broken(broke)
        if meter.finished or (billed and (meter.usage_is_last or meter.finish_reason is not None)):
            return None
        return self.note_broken(TransportError("broken", "the stream ended early", dispatched=True))

    def chunk_passage(self) -> ChunkPassage | None:
        """Return the way of chunks whose payloads are events that are known; None: all are taken apart."""
        found = None if self.meter.cuts or self.context.gone else self.context.downstream.chunks_writer()
        if found is not None:
            self.passage = ChunkPassage(self.meter.knows_chunks, *found)
        return self.passage

    def _take(self, chunk: bytes) -> bool:
        """Pass one piece on; False: there is something to wait for before the next."""
        data, may_go_on = self.meter.feed(chunk), True
        if data:  # as forward(), straight to the client
            self.tail = data if len(data) >= _TAIL_BYTES else self.tail[-_TAIL_BYTES:] + data
            if not self.context.gone:
                try:
                    may_go_on = self.context.downstream.write(data)
                except ConnectionError:
                    self.context.set_gone()
        if self.looks:
            self._look()
        return may_go_on and not self.meter.done

    def _look(self) -> None:
        """See whether content has come, and do what is due once the client has gone."""
        if self.attempt_result.first_byte_s is None:
            self._before_content()
        if not self.context.gone:
            self.looks = self.attempt_result.first_byte_s is None
        elif not self.attempt_result.aborted:
            self._gone()

    def _before_content(self) -> None:
        """Record the first content, or a piece ahead of it."""
        context, now_s = self.context, self.context.clock.monotonic_s()
        if self.meter.content_seen:
            self.attempt_result.first_byte_s = now_s
            self.answer.awaits_content = False
            context.waits_since_s = 0.0
        elif self.meter.done:
            context.waits_since_s = 0.0
        elif context.waits_since_s:  # a comment of ours must not be inserted into an event
            context.waits_since_s = _NEVER_S if gap(self.tail) else now_s

    def forward(self, data: bytes) -> bool:
        """Write a piece; False: drained() should be awaited."""
        self.tail = data if len(data) >= _TAIL_BYTES else self.tail[-_TAIL_BYTES:] + data
        return self.context.write(data)

    async def _after_done(self) -> None:
        """Read what may follow [DONE]: up to its end, to content, or to a second without a line of data."""
        loop, meter = asyncio.get_running_loop(), self.meter
        latest_s = loop.time() + _TRAILER_MAX_S
        timer = loop.call_later(_AFTER_DONE_S, self._stop_reading)
        try:
            while not meter.goes_on and (chunk := await self.answer.read()):
                lines = meter.data_lines
                meter.feed(chunk)
                if meter.data_lines != lines:
                    timer.cancel()
                    timer = loop.call_at(min(loop.time() + _AFTER_DONE_S, latest_s), self._stop_reading)
        except TransportError:
            if not self.stopped:
                raise
        finally:
            timer.cancel()

    def _stop_reading(self) -> None:
        self.stopped = True
        self.answer.abort()

    def _gone(self) -> None:
        self.looks = True
        if self.passage is not None:
            self.passage.close()
        self.attempt_result.served_by = self.meter.provider or self.attempt_result.served_by
        self.when_gone()

    def _hear(self, meter: Meter) -> None:
        attempt_result = self.attempt_result
        # the counts of a stream that broke off or failed are not its cost
        ended = meter.done and not meter.error_seen and not meter.goes_on
        usage, translator = meter.usage, self.attempt.translator
        if translator is not None and translator.usage is not None:
            usage = translator.usage
        if usage is not None:
            attempt_result.usage = usage
            # a count that grows may have grown on: without the stream's own end its record says what it came to
            grows = meter.usage_grows and self.attempt.provider.dialect.has_generations
            is_last = ended or (meter.usage_is_last and not grows)
            attempt_result.usage_is_open = not (meter.usage_is_whole and is_last)
            attempt_result.least_tokens = meter.least_tokens
        attempt_result.model = meter.model
        attempt_result.served_by = meter.provider or attempt_result.served_by
        attempt_result.generation_id = attempt_result.generation_id or meter.generation_id
        attempt_result.finish_reason = meter.finish_reason
        attempt_result.content_seen = meter.content_seen
        attempt_result.failed = meter.error_seen or (meter.says_nothing and (ended or meter.finished))
        if attempt_result.failed:
            attempt_result.error_code = meter.error_code
            attempt_result.error = attempt_result.error or "upstream_error"
        if meter.error is not None:
            self.attempt.note_inner_error(meter.error)


def gap(tail: bytes) -> bytes:
    """Return the line ends that must come before an event of our own: none if the last event is complete."""
    if not tail or tail.endswith((b"\n\n", b"\r\r", b"\r\n\r\n")):
        return b""
    return b"\n" if tail.endswith((b"\n", b"\r")) else b"\n\n"
