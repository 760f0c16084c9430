"""Log failed attempts: which, where, why, and what the request does next."""

import logging

from proxy.pipeline.context import RequestContext
from proxy.pipeline.values.attempt import Attempt
from proxy.policy.failure import Failure
from proxy.policy.failure_table import Decision
from proxy.providers.key import OWN

log = logging.getLogger("tollkeeper.attempt")

_NO_CREDIT = frozenset({"no_credits"})  # rows of the table of failures


def log_failed(context: RequestContext, attempt: Attempt, failure: Failure, decision: Decision) -> None:
    """Log an attempt that failed; what is the request's own fault is no warning. Nothing of the provider's text."""
    level = logging.INFO if decision.blame == "request" else logging.WARNING
    told = {
        "request_id": context.request_id,
        "user": context.user,
        "provider": attempt.provider.name,
        "model": attempt.target.model,
        "key": attempt.key.name,
        "attempt": attempt.n,
        "reason": decision.case,
        "status": failure.status,
        "kind": failure.kind,
        "error": attempt.result.error,
        "duration_ms": int((context.clock.monotonic_s() - attempt.started_s) * 1000),
    }
    log.log(level, "attempt.failed", extra={name: value for name, value in told.items() if value is not None})


def log_set_aside(attempt: Attempt, decision: Decision) -> None:
    """Log that a key of the operator's is not used for a while, and where it has run out of money."""
    if attempt.key.name == OWN or decision.set_aside_s is None:
        return
    told = {
        "provider": attempt.provider.name,
        "key": attempt.key.name,
        "reason": decision.case,
        "for_s": round(decision.set_aside_s),
        **({"model": attempt.target.model} if decision.model_only else {}),
    }
    log.warning("key.set_aside", extra=told)
    if decision.case in _NO_CREDIT:
        log.warning("provider.no_credit", extra={"provider": attempt.provider.name, "key": attempt.key.name})


def log_fallback(context: RequestContext, failed: Attempt, following: Attempt) -> None:
    """Log that a request goes on at another target."""
    told = {
        "request_id": context.request_id,
        "user": context.user,
        "from_provider": failed.provider.name,
        "from_model": failed.target.model,
        "provider": following.provider.name,
        "model": following.target.model,
    }
    log.warning("request.fallback", extra=told)
