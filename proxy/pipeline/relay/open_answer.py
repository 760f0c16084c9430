"""Make the relay of an answer: at once, or after it was read until it is sure to be one."""

from proxy.core.errors import ProviderError
from proxy.core.name_cache import NameCache
from proxy.pipeline.context import RequestContext
from proxy.pipeline.relay.base import Finish, Relay
from proxy.pipeline.relay.buffered import BufferedStream, BufferedWhole
from proxy.pipeline.relay.checked import CheckedStreamRelay, CheckedWholeRelay
from proxy.pipeline.relay.stream import StreamRelay
from proxy.pipeline.relay.whole import WholeRelay
from proxy.pipeline.values.attempt import Attempt
from proxy.pipeline.values.settlement import BROKEN
from proxy.policy.failure import Failure
from proxy.providers.transport.base import UpstreamResponse

_NO_CONTENT = frozenset({204, 205})  # of 2xx: chunks after such a head would be read as the next answer


def relay_of(context: RequestContext, attempt: Attempt, finish: Finish) -> Relay:
    """Return what passes an answer on that has not been read."""
    answer = attempt.answer
    assert answer is not None
    if answer.header("content-type") != "application/json" and is_stream(attempt, answer):  # as it nearly always is
        return StreamRelay(context, attempt, answer, finish)
    context.waits_since_s = 0.0
    return WholeRelay(context, attempt, answer, finish)


def open_at_hand(context: RequestContext, attempt: Attempt, finish: Finish) -> Relay | None:
    """Do as open_answer() with an answer in one piece that is all here; None: nothing is done, and it has to be asked.

    A coroutine for what waits for nothing would take longer than all that is looked at.
    """
    answer = attempt.answer
    assert answer is not None
    if (
        attempt.checks is not None
        or context.reply is not None
        or context.gone
        or context.stopped is not None
        or answer.header("content-type") != "application/json"
    ):
        return None
    opened = BufferedWhole(context, attempt, answer, finish)
    if not opened.open_at_hand():
        return None
    context.waits_since_s = 0.0
    if attempt.failure is not None:
        context.when_gone(None)
    return opened


async def open_answer(context: RequestContext, attempt: Attempt, finish: Finish) -> Relay | None:
    """Read an answer until it is sure to be one; what it failed by is noted in attempt. Return what was read."""
    answer = attempt.answer
    assert answer is not None
    streams = is_stream(attempt, answer)
    becomes_stream = (
        context.streams and context.endpoint.asks_usage
    )  # an answer in one piece is told as one (relay/whole.py)
    if context.reply is not None and streams is not context.streams and not becomes_stream:
        answer.abort()
        name = attempt.provider.name
        text = f'Provider "{name}" answered in another form than the answer already begun.'
        told = ProviderError(502, "upstream_broken", text)  # it has not failed: its answer may be billed
        attempt.result.flags |= {BROKEN}
        attempt.fail(Failure("answer", answer.status), told)
        return None
    if not streams:
        context.waits_since_s = 0.0
    if attempt.checks is None:
        kind = BufferedStream if streams else BufferedWhole
    else:
        kind = CheckedStreamRelay if streams else CheckedWholeRelay
    opened = kind(context, attempt, answer, finish)
    await opened.open()
    if attempt.failure is not None:
        context.when_gone(None)
    return opened


def is_stream(attempt: Attempt, answer: UpstreamResponse) -> bool:
    """Return whether an answer is a stream, by its content type.

    Some servers name their stream text/plain; JSON in place of a stream is not one.
    """
    if not attempt.may_stream or answer.status in _NO_CONTENT:
        return False
    content_type = _plain_types[answer.header("content-type") or ""]
    return content_type == "text/event-stream" or (attempt.streamed and content_type != "application/json")


def _plain_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


_plain_types = NameCache(_plain_type)
