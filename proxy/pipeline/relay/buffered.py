"""Hold an answer back until it is sure to be one, so that a failure before can still go to the next target.

A stream is held until its first content, an answer in one piece until it is read. Only keep-alive goes to the client
before: comments ahead of the first event, padding ahead of the JSON. It takes the head along, so that from then on a
failure of the whole route is reported inside a 200.
"""

import asyncio
import re
from collections.abc import Mapping
from typing import Any

from proxy.core.errors import ApiError
from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply
from proxy.pipeline.relay.base import Finish
from proxy.pipeline.relay.stream import StreamRelay
from proxy.pipeline.relay.whole import WholeRelay
from proxy.pipeline.upstream.upstream_errors import account_fault, error_in_answer
from proxy.pipeline.values.attempt import Attempt
from proxy.policy.failure import EMPTY, Failure
from proxy.providers.transport.base import TransportError, UpstreamResponse
from proxy.wire.parsed_answer import ParsedAnswer
from proxy.wire.retry_after import read_retry_after

_HELD_MAX_BYTES = 1 << 20  # a larger event is not an error; the buffer is sent, whatever it holds
_AFTER_ERROR_S = 0.5  # usage may follow an error: it is waited for, but the next target is more urgent
_NOT_SENT: Reply | None = None  # by this name mypy, and what is compiled, expect something else later
# Whole lines of comments, and empty ones; a CR at the very end may be half of a CR LF.
_BEGUN_COMMENT = re.compile(rb"(?::[^\r\n]*)?\r?")
_COMMENT = re.compile(rb"[\r\n]:")
_COMMENT_MAX_BYTES = 1 << 12
_COMMENTS = re.compile(rb"(?:(?::[^\r\n]*)?(?:\r\n|\n|\r(?=[^\n])))*", re.DOTALL)


class BufferedStream(StreamRelay):
    """A stream whose first events are kept until one of them has content."""

    def __init__(self, context: RequestContext, attempt: Attempt, answer: UpstreamResponse, finish: Finish) -> None:
        super().__init__(context, attempt, answer, finish)
        self.meter = self.listener()
        self._kept = bytearray()  # received and not yet sent, in order
        self._comments_bytes = 0  # how much of it may be sent at once
        self._shows_life = False  # a comment came behind data, which is kept
        self._has_data = self.packed  # something other than comments has come
        self._at_end = False
        self._broke: TransportError | None = None
        self._end: tuple[bytes, ApiError | None] | None = None

    async def open(self) -> None:
        """Read up to the first content, or to what the answer fails by, which is noted in the attempt."""
        meter, answer = self.meter, self.answer
        context = self.context
        context.when_gone(self._gone)
        context.begin_stream = self.begin  # notified when this attempt is buffered for longer than a client waits
        answer.awaits_content = True
        try:
            self._at_end = await self._keep_until_sure()
        except TransportError as error:
            self._at_end, self._broke = True, error
        finally:
            context.begin_stream, context.waits_since_s = None, 0.0
        answer.awaits_content = False
        is_empty = meter.done and meter.says_nothing
        if meter.content_seen or not (self._at_end or meter.error_seen or is_empty):
            return
        if not self._at_end:
            await self._keep_the_rest()
        self._end = self.ended(self._broke)
        if not self.context.gone:
            self._judge(self._end[1])

    @property
    def holds_error(self) -> bool:
        return self.meter.error_seen

    def _judge(self, failure: ApiError | None) -> None:
        status, kind = self.answer.status, None if self._broke is None else self._broke.kind
        if failure is not None:
            self.attempt.fail(Failure("answer", status, kind), failure)
        elif self.meter.error_seen:
            fail_inside(self.context, self.attempt, "failed before its answer began", self.meter.error or {})
        elif self.attempt_result.failed:
            told = error_in_answer(self.attempt.provider, f"answered {status} with an empty stream")
            self.attempt.fail(Failure("answer", status, EMPTY), told)

    async def run(self) -> Reply:
        response = self.begin()
        self.context.streams = True
        kept, self._kept = bytes(self._kept), bytearray()
        if not self.forward(kept):
            await self.context.drained()
        if self._end is None:
            self._end = self.ended(self._broke if self._at_end else await self.passed_on())
        await self.close(*self._end)
        return response

    async def _keep_until_sure(self) -> bool:
        """Return whether the stream has ended."""
        while not await self.answer.pump(self._keep):
            await self._pass_comments()
            if self._is_sure():
                return False
        return True

    def _is_sure(self) -> bool:
        meter = self.meter
        most_bytes = 0 if self.packed else _HELD_MAX_BYTES
        return meter.content_seen or meter.error_seen or meter.done or len(self._kept) > most_bytes

    def _keep(self, chunk: bytes) -> bool:
        """Keep one piece; False: there is something to do before the next."""
        came = self.meter.feed(chunk)
        self._kept += came
        if self.meter.content_seen and self.attempt_result.first_byte_s is None:
            self.attempt_result.first_byte_s = self.context.clock.monotonic_s()
        if not self._has_data:
            self._find_comments()
        if self._has_data and _COMMENT.search(self._kept, max(0, len(self._kept) - len(came) - 1)) is not None:
            self._shows_life = True
        return not (self._comments_bytes or self._shows_life or self._is_sure())

    def _find_comments(self) -> None:
        match = _COMMENTS.match(self._kept)
        self._comments_bytes = 0 if match is None else match.end()
        begun = self._kept[self._comments_bytes :]
        self._has_data = not _BEGUN_COMMENT.fullmatch(begun) or len(begun) > _COMMENT_MAX_BYTES

    async def _pass_comments(self) -> None:
        """Pass comments on to the client."""
        context, now_s = self.context, self.context.clock.monotonic_s()
        if self._comments_bytes:
            self.begin()
            context.streams, context.waits_since_s = True, now_s
            if not self.forward(bytes(self._kept[: self._comments_bytes])):
                await context.drained()
            del self._kept[: self._comments_bytes]
            self._comments_bytes = 0
        elif self._shows_life and not self._is_sure():
            context.show_life(now_s)  # the provider's own is sent with the data before it
        self._shows_life = False

    async def _keep_the_rest(self) -> None:
        """Read what follows an error, but not for long."""
        timer = asyncio.get_running_loop().call_later(_AFTER_ERROR_S, self.answer.abort)
        try:
            while (chunk := await self.answer.read()) and len(self._kept) <= _HELD_MAX_BYTES:
                self._kept += self.meter.feed(chunk)
        except TransportError:
            pass  # the error counts, however the stream ended after it
        finally:
            timer.cancel()
            self.answer.abort()


class BufferedWhole(WholeRelay):
    """An answer in one piece that is checked before it is passed on."""

    _problem: ApiError | None = None  # it is not whole

    async def open(self) -> None:
        """Read all of it; what is no answer is noted in the attempt."""
        self._ahead = _NOT_SENT
        self.context.when_gone(self._gone)
        self.answer.awaits_content = True
        try:
            body = self.answer.whole()
            self._body = await self.read() if body is None else self.complete(body)
        except TransportError as error:
            self._break_off(error)
            return
        finally:
            self.answer.awaits_content = False
        if not self.context.gone:
            self._judge(self.told)

    def open_at_hand(self) -> bool:
        """Do the same where all of it is here; False: nothing is done."""
        self._ahead = _NOT_SENT
        try:
            body = self.answer.whole()  # one that has to be translated may be no answer at all
            if body is None:
                return False
            self.context.on_gone = self._gone
            self._body = self.complete(body)
        except TransportError as error:
            self._break_off(error)
            return True
        if self.attempt_result.failed or not self.attempt_result.content_seen:  # else there is nothing to judge
            self._judge(self.told)
        return True

    def _break_off(self, error: TransportError) -> None:
        self._problem = self.note_broken(error)
        if not self.context.gone:
            self.attempt.fail(Failure("answer", self.answer.status, error.kind), self._problem)

    @property
    def holds_error(self) -> bool:
        return self.attempt_result.failed

    def _judge(self, told: ParsedAnswer | None) -> None:
        status = self.answer.status
        if told is not None and told.error_seen:
            error = self.attempt.inner_error or {}
            fail_inside(self.context, self.attempt, f"answered {status} with an error in it", error)
        elif told is None or not told.has_choices:
            found = error_in_answer(self.attempt.provider, f"answered {status} with something other than an answer")
            kind = EMPTY if self.attempt_result.failed else "no_answer"
            self.attempt.fail(Failure("answer", status, kind), found)

    async def run(self) -> Reply:
        if self._problem is not None:
            return await self.truncated(self._problem)
        meanwhile = self._send_ahead if self.context.told is dict and not self.context.gone else None
        settlement = await self.finish(self.status(), None, meanwhile)
        if self._ahead is not None:
            return self._ahead
        return (
            self.reply(self._body, settlement)
            if self.response is None
            else await self.finish_begun(self.response, self._body)
        )


def fail_inside(context: RequestContext, attempt: Attempt, what: str, error: Mapping[str, Any]) -> None:
    """Record an error object in a 200, which counts as if it had come with a status of its own."""
    answer, now_ms = attempt.answer, context.clock.now_ms()
    assert answer is not None
    wait_s = read_retry_after(answer.header, error, now_ms, is_limit=False)
    failure = Failure("answer", answer.status, error=error, retry_after_s=wait_s)
    told = account_fault(failure, attempt.provider, attempt.key.name, now_ms)
    attempt.fail(failure, told or error_in_answer(attempt.provider, what, error))
