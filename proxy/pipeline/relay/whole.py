"""An answer in one piece to the client: held back until it is settled."""

from proxy.core.errors import ApiError
from proxy.core.money import pusd_to_usd
from proxy.pipeline.downstream import Reply
from proxy.pipeline.errors import CLIENT_GONE_STATUS
from proxy.pipeline.relay.base import Relay
from proxy.pipeline.relay.response_headers import response_headers, response_lines
from proxy.pipeline.upstream.upstream_errors import error_in_answer
from proxy.pipeline.values.settlement import HUNG_UP, Settlement
from proxy.providers.generation import is_generation_id
from proxy.providers.transport.base import TransportError
from proxy.wire.broken_answer import broken_id, flaw_of
from proxy.wire.error import error_of_message
from proxy.wire.headers import headers_of
from proxy.wire.parsed_answer import ParsedAnswer, is_cut_off, read_message, says_nothing
from proxy.wire.redact import redacted
from proxy.wire.sse import KEEP_ALIVE, whole_as_events
from proxy.wire.text_size import CHARS_A_TOKEN, least_tokens
from proxy.wire.usage import Usage, with_cost, with_told_cost

_WHOLE_MAX_BYTES = 64 << 20  # an answer that is not a stream is held back until its cost is known
_HELD_BYTES = 1024  # what is held back of an answer that is sent ahead of its settlement
_NO_CONTENT = 204  # what comes with it is not passed on
_SPACE = b" \t\r\n"
_SPACES = frozenset((b" ", b"\t", b"\r", b"\n"))
_FRAME_BYTES = 1024  # what an answer may hold beside its text without being examined
_NOT_SENT: Reply | None = None  # by this name mypy, and what is compiled, expect something else later


class WholeRelay(Relay):
    """An answer in one piece: held back until it is complete and settled; only keep-alive padding passes before."""

    # without values at the class, which would be slow to read: what is not set by run() or open() is not asked for
    told: ParsedAnswer | None  # what it says, once it is complete; None: it is no JSON object
    _body: bytes  # once it is complete
    _ahead: Reply | None  # of which all but the end has gone out

    async def run(self) -> Reply:
        context = self.context
        self._ahead = _NOT_SENT
        context.on_gone = self._gone  # as when_gone() does
        if context.gone or context.stopped is not None:
            self._gone()
        try:
            body = self.answer.whole()  # usually all of a short answer came with its head
            body = await self.read() if body is None else self.complete(body)
        except TransportError as error:
            body, broken = None, self.note_broken(error)
        if body is None:
            return await self.truncated(broken)
        self._body = body
        meanwhile = self._send_ahead if context.told is dict and not context.gone else None
        settlement = await self.finish(CLIENT_GONE_STATUS if context.gone else self.answer.status, None, meanwhile)
        if self._ahead is not None:
            return self._ahead
        begun = context.reply
        return self.reply(body, settlement) if begun is None else await self.finish_begun(begun, body)

    async def finish_begun(self, response: Reply, body: bytes) -> Reply:
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

    def reply(self, body: bytes, settlement: Settlement) -> Reply:
        """Return a settled answer, with its head."""
        context, status = self.context, self.answer.status
        if context.claim is None:
            return context.downstream.whole_of_lines(status, self._lines(settlement), body, context.started_ms)
        return context.whole(status, headers_of(self._lines(settlement)), body)

    def _lines(self, settlement: Settlement) -> str:
        lines = response_lines(self.context, self.attempt)
        if settlement.cost_pusd is not None and settlement.state == "settled":
            return f"{lines}x-tollkeeper-cost-usd: {pusd_to_usd(settlement.cost_pusd)}\r\n"
        return lines

    def _send_ahead(self, settlement: Settlement) -> None:
        """Write all of the answer but its end while it is being settled, where no header tells what that leaves.

        What would be whole without its last bytes, as they are spaces, waits.
        """
        context, body = self.context, self._body
        status = self.answer.status
        if (
            not body[-_HELD_BYTES:].isspace()
            and body
            and status != _NO_CONTENT
            and context.reply is None
            and context.claim is None
        ):
            lines = self._lines(settlement)
            try:
                self._ahead = context.downstream.send_ahead(
                    status, lines, body, min(len(body), _HELD_BYTES), context.started_ms
                )
            except ConnectionError:
                context.set_gone()
            else:
                context.began = self._ahead is not None

    def _gone(self) -> None:
        """Record that the client is gone, but read on: closing an answer that is not a stream never stops the bill.

        What is cut off by a stop is read no further all the same.
        """
        if self.context.stopped is not None:
            self.answer.abort()
            return
        self.attempt_result.flags |= {HUNG_UP}
        if self.attempt.provider.on_disconnect == "abort":
            self.attempt_result.aborted = True
            self.answer.abort()

    async def read(self) -> bytes:
        """Return the answer without its padding, which has gone to the client."""
        pieces: list[bytes] = []
        size = 0
        try:
            while chunk := await self.answer.read():
                if not pieces and chunk[:1] in _SPACES:
                    chunk = await self._pass_padding(chunk)
                    if not chunk:
                        continue
                self.answer.awaits_content = False
                pieces.append(chunk)
                size += len(chunk)
                if size > _WHOLE_MAX_BYTES:
                    break
        except TransportError:
            self._note_id(pieces)
            raise
        if size > _WHOLE_MAX_BYTES:
            self.answer.abort()
            self._note_id(pieces)
            raise TransportError("broken", "the answer is larger than 64 MiB", dispatched=True)
        return self.complete(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def _note_id(self, pieces: list[bytes]) -> None:
        """Record the id in what came of an answer that broke off, or cannot be read: its cost is looked up by that."""
        if self.attempt_result.generation_id is None:
            found = broken_id(pieces)
            if found is not None and is_generation_id(found):
                self.attempt_result.generation_id = found

    def complete(self, body: bytes) -> bytes:
        """Record that the body is complete, and what it says; raises TransportError if it is not after all."""
        attempt, attempt_result = self.attempt, self.attempt_result
        attempt_result.first_byte_s = self.context.clock.monotonic_s()
        told = self.context.endpoint.read(body)
        translator = attempt.translator
        if translator is not None and translator.usage is not None and told is not None:
            told = told._replace(usage=translator.usage)
        self.told = told
        if told is None:
            self._note_id([body])
            if is_cut_off(body):  # what can be read is whole
                raise TransportError("broken", flaw_of(body), dispatched=True)
            body = redacted(body, attempt.key.quoted_bytes)
            attempt_result.complete = True
            return body
        # by its names it would take several times as long
        generation_id, attempt_result.model, served_by, finish_reason, usage, error_seen, code, _, has_choices = told
        if error_seen:
            body = redacted(body, attempt.key.quoted_bytes)
        output_tokens = None if usage is None else usage[1]
        if (
            not output_tokens
            or len(body) > output_tokens * CHARS_A_TOKEN + _FRAME_BYTES
            or attempt.provider.dialect.cost_paths
        ):
            usage = self._look_twice(usage, body)
        if error_seen or not has_choices:
            self._look_for_error(told, body)
        attempt_result.usage, attempt_result.finish_reason = usage, finish_reason
        attempt_result.content_seen, attempt_result.complete = has_choices, True
        if served_by:
            attempt_result.served_by = served_by
        if attempt_result.generation_id is None:
            attempt_result.generation_id = generation_id
        if error_seen or attempt_result.failed:
            attempt_result.failed = True
            attempt_result.error, attempt_result.error_code = "upstream_error", code
        return body

    def _look_twice(self, usage: Usage | None, body: bytes) -> Usage | None:
        """Return the usage of an answer with the cost that stands elsewhere; record what else it does not say."""
        attempt_result, dialect = self.attempt_result, self.attempt.provider.dialect
        if dialect.cost_paths:
            told_cost = None if dialect.cost_header is None else self.answer.header(dialect.cost_header)
            usage = with_cost(usage, read_message(body), body, dialect.cost_paths)
            if told_cost is not None:
                usage = with_told_cost(usage, told_cost)
        if usage is None or usage.output_tokens is None:
            return usage
        if not usage.output_tokens:
            attempt_result.generates = self.context.endpoint.kind != "embeddings"
        if len(body) > usage.output_tokens * CHARS_A_TOKEN + _FRAME_BYTES and attempt_result.generates:
            attempt_result.least_tokens = least_tokens(body)
        return usage

    def _look_for_error(self, told: ParsedAnswer, body: bytes) -> None:
        """Record why a 200 holds no answer: its error object, or that it is empty."""
        message = read_message(body) or {}
        if told.error_seen:
            self.attempt.note_inner_error(error_of_message(message) or {})
        elif says_nothing(message):
            self.attempt_result.failed = True

    async def _pass_padding(self, chunk: bytes) -> bytes:
        """Forward white space at once, so that no timer on the way runs out while the model works."""
        body = chunk.lstrip(_SPACE)
        padding = chunk[: len(chunk) - len(body)]
        if padding:
            if self.response is None:
                self.begin()
            await self.write(KEEP_ALIVE if self.context.streams else padding)
        return body

    async def truncated(self, failure: ApiError) -> Reply:
        """Drop what was held back and answer with an error: a part must never pass for the whole."""
        await self.finish(CLIENT_GONE_STATUS if self.context.gone else failure.status)
        if self.response is None:
            raise failure
        if not self.context.end_with_error(failure):
            await self.context.drained()
        return self.response
