"""An answer that is held against what its preset promises."""

from proxy.core.errors import ApiError
from proxy.pipeline.context import RequestContext
from proxy.pipeline.relay.base import Finish
from proxy.pipeline.relay.buffered import BufferedStream, BufferedWhole
from proxy.pipeline.upstream.upstream_errors import error_in_answer
from proxy.pipeline.values.attempt import CHECK, Attempt
from proxy.pipeline.values.settlement import CHECKS
from proxy.policy.answer_check import MAX_CHARS, answer_text, check
from proxy.policy.failure import Failure
from proxy.providers.transport.base import ChunkPassage, TransportError, UpstreamResponse
from proxy.wire.answer_text import AnswerText
from proxy.wire.parsed_answer import ParsedAnswer, read_message


class CheckedStreamRelay(BufferedStream):
    """A stream. Only its end shows what it is, and by then it has gone out: it is flagged."""

    def __init__(self, context: RequestContext, attempt: Attempt, answer: UpstreamResponse, finish: Finish) -> None:
        super().__init__(context, attempt, answer, finish)
        self._spoken = AnswerText(MAX_CHARS)

    def _keep(self, chunk: bytes) -> bool:
        self._spoken.feed(chunk)
        return super()._keep(chunk)

    def chunk_passage(self) -> ChunkPassage | None:
        """Return None: each event is looked into."""
        return None

    def _take(self, chunk: bytes) -> bool:
        self._spoken.feed(chunk)
        return super()._take(chunk)

    def ended(self, broke: TransportError | None) -> tuple[bytes, ApiError | None]:
        found = super().ended(broke)
        if self.attempt_result.complete and not self.attempt_result.failed:
            self._spoken.finish()
            failed_checks(self.context, self.attempt, self._spoken.text)
        return found


class CheckedWholeRelay(BufferedWhole):
    """An answer in one piece; where the preset says so, one that fails a check counts as a failure."""

    def _judge(self, told: ParsedAnswer | None) -> None:
        super()._judge(told)
        attempt = self.attempt
        if attempt.failure is not None:
            return
        failed = failed_checks(self.context, attempt, answer_text(read_message(self._body) or {}))
        if failed and attempt.check_fails:
            why = f"answered, but not as the preset asks: {', '.join(failed)}"
            attempt.fail(Failure("answer", self.answer.status, CHECK), error_in_answer(attempt.provider, why))


def failed_checks(context: RequestContext, attempt: Attempt, text: str | None) -> tuple[str, ...]:
    """Check a complete answer against the preset's checks; those that fail become flags of the row."""
    if attempt.checks is None:
        return ()
    failed = check(attempt.checks, text, context.clock.monotonic_s() - attempt.started_s)
    attempt.result.flags |= {f"{CHECKS}{name}" for name in failed}
    return failed
