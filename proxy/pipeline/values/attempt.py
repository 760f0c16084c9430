"""One upstream call of a request."""

from collections.abc import Mapping
from typing import Any

import orjson
from msgspec import Struct

from proxy.core.errors import ApiError
from proxy.pipeline.values.amendment import Amendment, SentBody
from proxy.pipeline.values.attempt_result import AttemptResult
from proxy.pipeline.values.route import Target
from proxy.policy.answer_check import CheckRules
from proxy.policy.failure import Failure
from proxy.policy.failure_table import may_be_billed
from proxy.policy.parameter_form import PLAIN, ParameterForm
from proxy.policy.quota import Hold
from proxy.providers.deadlines import Deadlines
from proxy.providers.dialect import Translator
from proxy.providers.key import Key
from proxy.providers.provider import ProviderRow
from proxy.providers.transport.base import UpstreamResponse
from proxy.wire.endpoint import Endpoint

CHECK = "check"  # the kind of a failure: the answer does not pass a check of its preset
NOT_OFFERED = "not_offered"  # the kind of a failure: the provider has no way to say what was asked
UNSUITED = "unsuited"  # the kind of a failure: the target refused what has to be written

Pass = tuple[int, int]
"""What the breakers of a provider and of one of its models gave for one attempt; 0: it has none."""


class Attempt(Struct, eq=False):
    """One upstream call.

    failure is what the table decides by, and error what the client would be told of it; both None: the answer is one
    to relay. error_body: the provider's own error, to be passed on.
    """

    n: int
    target: Target
    provider: ProviderRow
    key: Key
    started_s: float
    deadlines: Deadlines
    result: AttemptResult
    streamed: bool = False  # asked for as a stream
    may_stream: bool = True  # the endpoint knows streams
    told_max_tokens: Mapping[tuple[str, str], int] | None = None  # by provider and model; None: nothing was lowered
    checks: CheckRules | None = None
    check_fails: bool = False  # one that the answer does not pass counts as a failure
    answer: UpstreamResponse | None = None
    hide_usage: bool = False
    error_body: bytes = b""
    failure: Failure | None = None
    error: ApiError | None = None
    inner_error: Mapping[str, Any] | None = None  # the error object within a 200
    is_noted: bool = False  # the breakers know that it answered
    key_held: Hold | None = None  # of the limits of its key
    form: ParameterForm | None = None  # how its target takes what the proxy writes; None: nothing is different there
    change: Amendment | None = None  # what was changed after the attempt before
    body: dict[str, Any] | None = None  # as it was sent; None also while it need not be known: sent_body()
    is_amended: bool = False  # the next one sent the same again without a field of ours: nobody else hears of it
    translator: Translator | None = None  # None: the answer is in the endpoint's own form
    refusal: bytes = b""  # the beginning of the provider's words
    unprepared: tuple[dict[str, Any], Endpoint] | None = None  # what a body was spliced of, in place of prepared

    def sent_body(self) -> dict[str, Any] | None:
        """Return the body as it was sent; None: nothing was."""
        if self.body is None and self.unprepared is not None:
            body, endpoint = self.unprepared
            self.body = self.provider.dialect.prepare(body, self.target.model, endpoint)[0]
        return self.body

    def settle_for_it(self) -> None:
        """Accept an answer that only failed a check: it is paid for, and there is nothing better."""
        if self.failure is not None and self.failure.kind == CHECK:
            self.failure = self.error = self.result.error = None

    def refused_body(self) -> SentBody | None:
        """Return what was sent and refused before anything was done; None: it may be billed, or was no refusal.

        A generation's id proves that something was begun, but beside a status of 4xx: some name one with each refusal.
        """
        failure, attempt_result, change = self.failure, self.result, self.change
        body = self.sent_body()
        if body is None or failure is None or failure.where not in ("status", "answer"):
            return None
        if failure.kind in (CHECK, UNSUITED) or attempt_result.usage is not None:
            return None
        is_refusal = failure.where == "status" and 400 <= (failure.status or 0) < 500 and not attempt_result.unproven
        if attempt_result.generation_id is not None and not is_refusal:
            return None
        if attempt_result.content_seen or (failure.where == "answer" and failure.error is None):
            return None
        refusal = self.refusal or orjson.dumps(failure.error)
        sent = SentBody(body, self.form or PLAIN, failure, refusal)
        return (
            sent
            if change is None
            else sent._replace(lesson=change.lesson, tried=change.tried, is_vague=change.is_vague)
        )

    def fail(self, failure: Failure, error: ApiError) -> None:
        self.failure = failure
        self.error = error
        self.result.error = error.code
        self.result.unproven = may_be_billed(failure)

    def note_inner_error(self, error: Mapping[str, Any]) -> None:
        """Record that a 200 holds an error object, whoever hears of it."""
        self.inner_error = error
        self.result.unproven = may_be_billed(Failure("answer", self.result.status, error=error))
