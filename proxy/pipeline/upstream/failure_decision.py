"""Decide what follows a failure: the table of policy/failure_table.py, and what only this request knows of it."""

from proxy.pipeline.context import RequestContext
from proxy.pipeline.values.attempt import CHECK, NOT_OFFERED, UNSUITED, Attempt
from proxy.pipeline.values.route import Route
from proxy.pipeline.values.settlement import BROKEN
from proxy.policy.failure import Failure
from proxy.policy.failure_table import Decision, decide
from proxy.wire.body import dump_body
from proxy.wire.retry_after import read_retry_after

USED_UP = "key_used_up"  # the kind of a failure: others have used up the limits of the key
HALTED = "halted"  # the kind of a failure: its model or provider is stopped
AMENDED = Decision("our_field", ("stop",), maybe_billed=False, blame="none")  # it goes again without a field of ours

_KEPT_BACK = frozenset({"resting", "queue_full", "queue_timeout", NOT_OFFERED, HALTED})
_NOT_SENT = _KEPT_BACK | {USED_UP}
_OF_KIND = {
    **dict.fromkeys(_KEPT_BACK, Decision("not_sent", ("next_target", "stop"), maybe_billed=False, blame="none")),
    CHECK: Decision("check", ("next_target", "stop"), maybe_billed=True, blame="none"),
    UNSUITED: Decision("our_field", ("next_target", "stop"), maybe_billed=False, blame="none"),
    USED_UP: Decision(USED_UP, ("next_key", "next_target", "stop"), maybe_billed=False, blame="none"),
}


def decide_next(failure: Failure, context: RequestContext, route: Route) -> Decision:
    """Return which steps may follow, whom the failure counts against, and what is set aside."""
    of_kind = None if failure.kind is None else _OF_KIND.get(failure.kind)
    if of_kind is not None:
        return of_kind
    decision = decide(failure, context.clock.now_ms())
    if decision.case == "moderated" and not context.snapshot.routing.carries_refused:
        return decision._replace(steps=("stop",))
    if decision.blame == "key" and decision.set_aside_s is not None and _is_clients(decision.phrase, route):
        return decision._replace(set_aside_s=None)
    return decision


def _is_clients(phrase: str | None, route: Route) -> bool:
    """Return whether the words that put the key at fault may be the client's own, which the provider only repeats.

    Otherwise anybody could disable a key for all others, with a model name that reads like a refusal.
    """
    return phrase is not None and phrase.encode() in dump_body(route.body).lower()


def is_unreached(failure: Failure | None) -> bool:
    """Return whether the provider could not be reached: nothing was sent, and that counts against it all the same."""
    return failure is not None and failure.where == "connect" and failure.kind not in _NOT_SENT


def late_failure(attempt: Attempt, now_ms: int) -> Failure | None:
    """Return how an answer failed while it was passed on; None if it did not."""
    attempt_result, error, answer = attempt.result, attempt.inner_error, attempt.answer
    if answer is None or (not attempt_result.failed and BROKEN not in attempt_result.flags):
        return None
    wait_s = None if error is None else read_retry_after(answer.header, error, now_ms, is_limit=False)
    return Failure(
        "content" if attempt_result.content_seen else "answer", attempt_result.status, error=error, retry_after_s=wait_s
    )
