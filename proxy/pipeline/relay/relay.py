"""relay: the provider's bytes to the client as they come; the meter listens; the last bytes wait for the settlement.

finish() settles and returns when the row is on disk. It is called before the last byte goes to the client, and the
answer is read to its end for the ledger's sake when the client has gone, or cut off where that stops the bill.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import lru_cache

from proxy.core.errors import ProviderError
from proxy.core.money import pusd_to_usd
from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply
from proxy.pipeline.errors import CLIENT_GONE_STATUS
from proxy.pipeline.snapshot import Snapshot
from proxy.pipeline.upstream.upstream_errors import error_in_answer, transport_error
from proxy.pipeline.values.attempt import Attempt
from proxy.pipeline.values.attempt_result import AttemptResult
from proxy.pipeline.values.settlement import BROKEN, HUNG_UP, Settlement
from proxy.providers.transport.base import TransportError, UpstreamResponse
from proxy.providers.transport.inflate import ENCODINGS
from proxy.wire.endpoint import Meter
from proxy.wire.error import error_of_message
from proxy.wire.headers import STREAM_HEADERS, pick_response_headers
from proxy.wire.parsed_answer import ParsedAnswer, is_cut_off, read_message, says_nothing
from proxy.wire.redact import ErrorScreen, redacted
from proxy.wire.sse import KEEP_ALIVE, whole_as_events
from proxy.wire.text_size import CHARS_A_TOKEN, least_tokens
from proxy.wire.usage import with_cost, with_told_cost

Finish = Callable[[int], Awaitable[Settlement]]  # takes the status that the client gets

_WHOLE_MAX_BYTES = 64 << 20  # an answer that is not a stream is held back until its cost is known
_AFTER_DONE_S = 1.0  # a provider that keeps the connection open after [DONE] must not keep the client waiting
_TRAILER_MAX_S = 5.0  # nor one that sends on what says nothing
_NEVER_S = float("inf")  # since when nothing came, where no time is long enough
_READABLE = ENCODINGS | {"", "identity"}
_SPACE = b" \t\r\n"
_SPACES = frozenset((b" ", b"\t", b"\r", b"\n"))
_NO_CONTENT = frozenset({204, 205})  # of 2xx: chunks behind such a head would be taken for the next answer
_FRAME_BYTES = 1024  # what an answer may hold beside its text before it is worth a look
_TAIL_BYTES = 4  # the longest end of an event: CR LF CR LF


def relay_of(context: RequestContext, attempt: Attempt, finish: Finish, snapshot: Snapshot) -> "Relay":
    """Return what passes an answer on that has not been read."""
    answer = attempt.answer
    assert answer is not None
    kind: type[Relay] = StreamRelay
    if not is_stream(attempt, answer):
        kind, context.waits_since_s = WholeRelay, 0.0
    return kind(context, attempt, answer, finish, snapshot)


def is_stream(attempt: Attempt, answer: UpstreamResponse) -> bool:
    """Return whether an answer is a stream, by its content type.

    Some servers name their stream text/plain; JSON where a stream was asked for is an answer that is none.
    """
    if not attempt.may_stream or answer.status in _NO_CONTENT:
        return False
    content_type = _plain(answer.header("content-type") or "")
    return content_type == "text/event-stream" or (attempt.streamed and content_type != "application/json")


@lru_cache(maxsize=64)
def _plain(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def response_headers(context: RequestContext, attempt: Attempt) -> dict[str, str]:
    answer, target, headers = attempt.answer, attempt.target, {}
    encoding = None
    if answer is not None:
        headers = dict(pick_response_headers(answer.headers, attempt.key.quoted))
        encoding = answer.header("content-encoding")
    if encoding and encoding.strip().lower() not in ENCODINGS:  # those the transport has undone
        headers["content-encoding"] = encoding
    if context.told is not dict:  # nearly always
        headers.update(context.told())
    if attempt.told_max_tokens is not None:
        headers["x-tollkeeper-max-tokens"] = str(attempt.told_max_tokens)
    headers["x-request-id"] = context.request_id
    headers["x-tollkeeper-model"] = target.model
    headers["x-tollkeeper-provider"] = target.provider
    headers["x-tollkeeper-attempts"] = str(attempt.n)
    if target.static is not None:
        headers["x-tollkeeper-static"] = "1"
    if context.endpoint.errors == "anthropic":
        headers["request-id"] = context.request_id  # where Anthropic's SDKs look for it
    return headers


class Relay:
    """What both kinds of answers share: when the client goes, what to do with the provider."""

    def __init__(
        self, context: RequestContext, attempt: Attempt, answer: UpstreamResponse, finish: Finish, snapshot: Snapshot
    ) -> None:
        self.context = context
        self.attempt = attempt
        self.answer = answer
        self.finish = finish
        self.snapshot = snapshot
        self.heard: AttemptResult = attempt.heard

    async def run(self) -> Reply:
        """Pass the answer on to its end and settle."""
        raise NotImplementedError

    @property
    def holds_error(self) -> bool:
        """Return whether what was not passed on yet is the provider's own error."""
        return False

    def status(self) -> int:
        return CLIENT_GONE_STATUS if self.context.gone else self.answer.status

    def note_broken(self, error: TransportError) -> ProviderError:
        failure = transport_error(error, self.attempt.provider)
        self.heard.flags |= {BROKEN}
        self.heard.error = failure.code
        return failure

    def when_gone(self) -> None:
        """Close the provider's connection if that stops the bill, after the client hung up."""
        self.heard.flags |= {HUNG_UP}
        if self.may_abort():
            self.heard.aborted = True
            self.answer.abort()

    def may_abort(self) -> bool:
        policy = self.attempt.provider.on_disconnect
        if policy == "drain":
            return False
        return policy == "abort" or self.attempt.provider.dialect.cancel_stops_bill(self.heard.served_by)

    @property
    def response(self) -> Reply | None:
        """Return the answer whose head has gone out, for this attempt or an earlier one."""
        return self.context.reply

    def begin(self) -> Reply:
        """Send the head of an answer whose end is not known yet, unless it has gone out."""
        context = self.context
        if context.reply is not None:
            return context.reply
        return context.begin(self.answer.status, {**response_headers(context, self.attempt), **STREAM_HEADERS})

    async def write(self, data: bytes) -> None:
        if not self.context.write(data):
            await self.context.drained()


class StreamRelay(Relay):
    """Server-sent events: forwarded as they come, from ``data: [DONE]`` on held until the settlement is on disk."""

    meter: Meter
    tail = b""  # the last bytes that went to the client
    stopped = False  # nothing came after [DONE], and we went
    packed = False  # in a way that cannot be undone here: it passes unread

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
            self.context.waits_since_s = 0.0  # no comment of ours can be put in
        meter = make(self.attempt.hide_usage and not self.packed)
        meter.cost_paths = self.attempt.provider.dialect.cost_paths
        if self.attempt.key.quoted_bytes:
            meter.screen = ErrorScreen(self.attempt.key.quoted_bytes)
        return meter

    async def passed_on(self) -> TransportError | None:
        """Pass on all that comes; return the error that broke it."""
        try:
            await self._pump()
        except TransportError as error:
            return error
        return None

    def ended(self, broke: TransportError | None) -> tuple[bytes, ProviderError | None]:
        """Record everything the meter read; return what was kept back, and the error for the client."""
        rest = self.meter.finish()
        self._hear(self.meter)
        failure = self._failure(self.meter, broke)
        self.heard.complete = failure is None and not self.heard.aborted
        return rest, failure

    async def close(self, rest: bytes, failure: ProviderError | None) -> None:
        """Settle, then send the end."""
        await self.finish(self.status())
        if failure is None:
            await self.write(rest + self.meter.held)
        elif self.is_unread:  # words behind packed bytes would be taken for a part of them: an end without its sign
            self.context.cut()
        else:  # rest is a begun event that the client has not seen yet: without its end it says nothing
            event = self.context.endpoint.error_event(
                failure.code, failure.message, failure.type, self.context.request_id, self.meter.generation_id
            )
            await self.write(gap(self.tail) + event)

    @property
    def is_unread(self) -> bool:
        """Return whether the body is compressed; some servers name a coding and use none."""
        return self.packed and not self.meter.content_seen

    def _failure(self, meter: Meter, broke: TransportError | None) -> ProviderError | None:
        """Return the error that the client must get: that the answer is not whole.

        A body that ended as its framing says is whole when each choice has told why it ended, or the usage came that is
        sent last: a missing [DONE] alone is no loss. Where the connection broke both must have come.
        """
        if self.heard.aborted or meter.error_seen or (meter.done and (broke is None or not meter.goes_on)):
            return None
        if self.is_unread and broke is None:
            return None
        billed = self.context.endpoint.asks_usage and meter.usage is not None
        if broke is not None:
            return None if billed and meter.finished else self.note_broken(broke)
        if meter.finished or (billed and (meter.usage_is_last or meter.finish_reason is not None)):
            return None
        return self.note_broken(TransportError("broken", "the stream ended early", dispatched=True))

    async def _pump(self) -> None:
        """Pass everything on up to [DONE]; reading waits for a slow client."""
        while not self.meter.done:
            if await self.answer.pump(self._take):
                return
            if not self.meter.done:
                await self.context.drained()
        await self._after_done()
        if not self.meter.goes_on:
            return
        self.forward(self.meter.release())
        while not await self.answer.pump(self._take):
            await self.context.drained()

    def _take(self, chunk: bytes) -> bool:
        """Pass one piece on; False: there is something to wait for before the next."""
        meter, heard = self.meter, self.heard
        forward = meter.feed(chunk)
        may_go_on = self.forward(forward) if forward else True
        if heard.first_byte_s is None:
            self._before_content()
        if self.context.gone and not heard.aborted:
            self._gone()
        return may_go_on and not meter.done

    def _before_content(self) -> None:
        """Record the first content, or a piece ahead of it."""
        context, now_s = self.context, self.context.clock.monotonic_s()
        if self.meter.content_seen:
            self.heard.first_byte_s = now_s
            self.answer.awaits_content = False
            context.waits_since_s = 0.0
        elif self.meter.done:
            context.waits_since_s = 0.0
        elif context.waits_since_s:  # a comment of ours must not stand within an event
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
        self.heard.served_by = self.meter.provider or self.heard.served_by
        self.when_gone()

    def _hear(self, meter: Meter) -> None:
        heard = self.heard
        # what a stream that broke off or failed had counted on its way is not what it cost
        ended = meter.done and not meter.error_seen and not meter.goes_on
        if meter.usage is not None:
            heard.usage = meter.usage
            heard.usage_is_open = not (meter.usage_is_whole and (ended or meter.usage_is_last))
            heard.least_tokens = meter.least_tokens
        heard.model = meter.model
        heard.served_by = meter.provider or heard.served_by
        heard.generation_id = heard.generation_id or meter.generation_id
        heard.finish_reason = meter.finish_reason
        heard.content_seen = meter.content_seen
        heard.failed = meter.error_seen or (meter.says_nothing and (ended or meter.finished))
        if heard.failed:
            heard.error_code = meter.error_code
            heard.error = heard.error or "upstream_error"
        if meter.error is not None:
            self.attempt.note_inner_error(meter.error)


def gap(tail: bytes) -> bytes:
    """Return the line ends that must come before an event of our own: none if the last event is complete."""
    if not tail or tail.endswith((b"\n\n", b"\r\r", b"\r\n\r\n")):
        return b""
    return b"\n" if tail.endswith((b"\n", b"\r")) else b"\n\n"


class WholeRelay(Relay):
    """An answer in one piece: held back until it is complete and settled; only keep-alive padding passes before."""

    told: ParsedAnswer | None = None  # what it says, once it is complete; None: it is no JSON object

    async def run(self) -> Reply:
        self.context.when_gone(self._gone)
        try:
            body = self.answer.whole()  # as a rule all of a short answer came with its head
            body = await self.read() if body is None else self.complete(body)
        except TransportError as error:
            return await self.truncated(self.note_broken(error))
        self.hear()
        verdict = await self.finish(self.status())
        begun = self.context.reply
        return self.give(body, verdict) if begun is None else await self.follow(begun, body)

    async def follow(self, response: Reply, body: bytes) -> Reply:
        """Send an answer that is settled behind its head, which has gone out."""
        if self.context.claim is not None:
            self.context.claim.keep(self.answer.status, response_headers(self.context, self.attempt), body)
        await self.write(self._as_events(body) if self.context.streams else body)
        return response

    def _as_events(self, body: bytes) -> bytes:
        """Return an answer in one piece as the stream that a head already sent has promised."""
        endpoint, context = self.context.endpoint, self.context
        events = whole_as_events(body) if endpoint.asks_usage else b""
        if events:
            return events
        told = error_in_answer(self.attempt.provider, "answered in one piece where a stream was asked for")
        return endpoint.error_event(told.code, told.message, told.type, context.request_id, None)

    def give(self, body: bytes, verdict: Settlement) -> Reply:
        """Return a settled answer, with its head."""
        context, status = self.context, self.answer.status
        headers = response_headers(context, self.attempt)
        if verdict.cost_pusd is not None and verdict.state == "settled":
            headers["x-tollkeeper-cost-usd"] = pusd_to_usd(verdict.cost_pusd)
        if context.claim is not None:
            context.claim.keep(status, headers, body)
        return context.client.whole(status, headers, body, context.started_ms)

    def _gone(self) -> None:
        """Record that the client is gone, but read on: closing an answer that is not a stream never stops the bill."""
        self.heard.flags |= {HUNG_UP}
        if self.attempt.provider.on_disconnect == "abort":
            self.heard.aborted = True
            self.answer.abort()

    async def read(self) -> bytes:
        """Return the answer without its padding, which has gone to the client."""
        pieces: list[bytes] = []
        size = 0
        while chunk := await self.answer.read():
            if not pieces and chunk[:1] in _SPACES:
                chunk = await self._pass_padding(chunk)
                if not chunk:
                    continue
            self.answer.awaits_content = False
            pieces.append(chunk)
            size += len(chunk)
            if size > _WHOLE_MAX_BYTES:
                self.answer.abort()
                raise TransportError("broken", "the answer is larger than 64 MiB", dispatched=True)
        return self.complete(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def complete(self, body: bytes) -> bytes:
        """Record that the body is complete; raises TransportError if it is not after all."""
        self.heard.first_byte_s = self.context.clock.monotonic_s()
        told = self.told = self.context.endpoint.read(body)
        if (told is None or told.error_seen) and self.attempt.key.quoted_bytes in body:
            body = redacted(body, self.attempt.key.quoted_bytes)
        if told is not None:
            output_tokens = None if told.usage is None else told.usage.output_tokens
            if (
                not output_tokens
                or len(body) > output_tokens * CHARS_A_TOKEN + _FRAME_BYTES
                or self.attempt.provider.dialect.cost_paths
            ):
                self._look_twice(told, body)
            if told.error_seen or not told.has_choices:
                self._look_for_error(told, body)
        if self.told is None and is_cut_off(body):  # what can be read is whole
            raise TransportError("broken", "the JSON of its answer ended early", dispatched=True)
        return body

    def _look_twice(self, told: ParsedAnswer, body: bytes) -> None:
        """Record what the usage of an answer does not say by itself."""
        heard, usage, dialect = self.heard, told.usage, self.attempt.provider.dialect
        if dialect.cost_paths:
            told_cost = None if dialect.cost_header is None else self.answer.header(dialect.cost_header)
            usage = with_cost(usage, read_message(body), body, dialect.cost_paths)
            if told_cost is not None:
                usage = with_told_cost(usage, told_cost)
            self.told = told._replace(usage=usage)
        if usage is None or usage.output_tokens is None:
            return
        if not usage.output_tokens:
            heard.generates = self.context.endpoint.kind != "embeddings"
        if len(body) > usage.output_tokens * CHARS_A_TOKEN + _FRAME_BYTES and heard.generates:
            heard.least_tokens = least_tokens(body)

    def _look_for_error(self, told: ParsedAnswer, body: bytes) -> None:
        """Record why a 200 holds no answer: its error object, or that it is empty."""
        message = read_message(body) or {}
        if told.error_seen:
            self.attempt.note_inner_error(error_of_message(message) or {})
        elif says_nothing(message):
            self.heard.failed = True

    async def _pass_padding(self, chunk: bytes) -> bytes:
        """Forward white space at once, so that no timer on the way runs out while the model works."""
        body = chunk.lstrip(_SPACE)
        padding = chunk[: len(chunk) - len(body)]
        if padding:
            if self.response is None:
                self.begin()
            await self.write(KEEP_ALIVE if self.context.streams else padding)
        return body

    def hear(self) -> ParsedAnswer | None:
        """Record what a complete answer says; return None if it is not a JSON object."""
        heard = self.heard
        heard.complete = True
        told = self.told
        if told is None:
            return None
        generation_id, heard.model, served_by, heard.finish_reason, heard.usage, failed, code, _, has = told
        heard.served_by = served_by or heard.served_by
        heard.generation_id = heard.generation_id or generation_id
        heard.content_seen = has
        heard.failed |= failed
        if heard.failed:
            heard.error, heard.error_code = "upstream_error", code
        return told

    async def truncated(self, failure: ProviderError) -> Reply:
        """Drop what was held back and answer with an error: a part must never pass for the whole."""
        await self.finish(CLIENT_GONE_STATUS if self.context.gone else failure.status)
        if self.response is None:
            raise failure
        if self.context.claim is not None:
            self.context.claim.error = failure
        context = self.context
        if context.streams:
            event = context.endpoint.error_event(failure.code, failure.message, failure.type, context.request_id, None)
        else:
            event = context.endpoint.error_body(failure, context.request_id)
        await self.write(event)
        return self.response
