"""What passes an answer on to the client, to its end and its settlement."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from proxy.core.errors import ApiError
from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply
from proxy.pipeline.errors import CLIENT_GONE_STATUS
from proxy.pipeline.relay.response_headers import stream_lines
from proxy.pipeline.upstream.upstream_errors import transport_error
from proxy.pipeline.values.attempt import Attempt
from proxy.pipeline.values.attempt_result import AttemptResult
from proxy.pipeline.values.settlement import BROKEN, HUNG_UP, Settlement
from proxy.providers.transport.base import TransportError, UpstreamResponse

Meanwhile = Callable[[Settlement], None]


class Finish(Protocol):
    """Settle a request.

    It is called before the last byte goes to the client. The answer is read to its end for the ledger's sake when the
    client has gone, or aborted if that stops the bill.
    """

    def __call__(
        self, status: int, error: str | None = None, meanwhile: Meanwhile | None = None, /
    ) -> Awaitable[Settlement]:
        """Settle by the status that the client gets; returns when the row is on disk.

        meanwhile: called, if at all, while it is on its way there.
        """
        ...


class Relay:
    """What both kinds of answers share: what to do with the provider when the client goes."""

    def __init__(self, context: RequestContext, attempt: Attempt, answer: UpstreamResponse, finish: Finish) -> None:
        self.context = context
        self.attempt = attempt
        self.answer = answer
        self.finish = finish
        self.attempt_result: AttemptResult = attempt.result

    async def run(self) -> Reply:
        """Pass the answer on to its end and settle."""
        raise NotImplementedError

    @property
    def holds_error(self) -> bool:
        """Return whether what was not passed on yet is the provider's own error."""
        return False

    def status(self) -> int:
        return CLIENT_GONE_STATUS if self.context.gone else self.answer.status

    def note_broken(self, error: TransportError) -> ApiError:
        """Record that the answer is not whole, and return what the client is told."""
        if self.context.stopped is not None:
            return self.context.stopped
        failure = transport_error(error, self.attempt.provider)
        self.attempt_result.flags |= {BROKEN}
        self.attempt_result.error = failure.code
        return failure

    def when_gone(self) -> None:
        """Close the provider's connection if that stops the bill, after the client hung up; always for a stop."""
        if self.context.stopped is not None:
            self.answer.abort()
            return
        self.attempt_result.flags |= {HUNG_UP}
        if self.may_abort():
            self.attempt_result.aborted = True
            self.answer.abort()

    def may_abort(self) -> bool:
        policy = self.attempt.provider.on_disconnect
        if policy == "drain":
            return False
        return policy == "abort" or self.attempt.provider.dialect.cancel_stops_bill(self.attempt_result.served_by)

    @property
    def response(self) -> Reply | None:
        """Return the answer whose head has gone out, for this attempt or an earlier one."""
        return self.context.reply

    def begin(self) -> Reply:
        """Send the head of an answer whose end is not known yet, unless it has gone out."""
        context = self.context
        if context.reply is not None:
            return context.reply
        return context.begin(self.answer.status, stream_lines(context, self.attempt))

    async def write(self, data: bytes) -> None:
        if not self.context.write(data):
            await self.context.drained()
