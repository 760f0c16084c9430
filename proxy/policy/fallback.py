"""What to do after an attempt that did not answer: one table over where it broke, the status and the error. Pure.

The facts about the statuses are OpenRouter's and OpenAI's documentation and answers seen on the wire in 2026. The
first row of TABLE that applies decides; `tests/policy/test_fallback.py` walks through all of them.
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

from proxy.policy.failure import Failure
from proxy.policy.window import window_bounds

Step = Literal["retry", "next_key", "next_target", "stop"]
Blame = Literal["request", "key", "model", "provider", "none"]
Breaker = Literal["model", "provider"]

UNTIL_CHANGED_S: Final = 3600.0
"""How long a key is set aside that is refused for no stated time: a bad key, no credits, a limit without an end.

A new key in the configuration begins afresh, and the key ring still asks now and then while it has no other."""


class Decision(NamedTuple):
    """What may come next, and what the failure says about key, model and provider.

    steps: in order of preference; the first that is possible is taken. "retry" is the same target with the same key,
        "next_key" the same target with another key, and "stop" is always the last.
    maybe_billed: the provider may charge for the attempt, so a further one needs a reservation of its own.
    blame: whose fault it is. What is blamed is set aside for set_aside_s: a key in the key ring (for this model only
        where model_only), a model by its breaker. None: it is not set aside.
    counts: the breakers that note a failure; where it is empty none does. A key has no breaker but its time aside,
        in which the key ring asks it now and then.
    retries_max: at most so many retries of the target because of this; None: as many as are configured.
    case: the word for the row of the table, for logs and `explain`.
    """

    case: str
    steps: tuple[Step, ...]
    maybe_billed: bool
    blame: Blame
    counts: tuple[Breaker, ...] = ()
    set_aside_s: float | None = None
    model_only: bool = False
    retries_max: int | None = None


class Row(NamedTuple):
    """One row of the table. aside gives the seconds to set aside for, by the failure and the time in epoch ms."""

    case: str
    when: Callable[[Failure], bool]
    steps: tuple[Step, ...]
    blame: Blame
    counts: tuple[Breaker, ...] = ()
    aside: Callable[[Failure, int], float | None] | None = None
    model_only: bool = False
    retries_max: int | None = None


def decide(failure: Failure, now_ms: int) -> Decision:
    """Find the row for a failure; now_ms is the wall clock (epoch ms), for limits that end at a date.

    Whether it may have been billed depends on how far the attempt came. A status is a refusal: not billed, also at
    502 to 529, which come without any generation to ask for. Once the request was sent and nothing was refused it may
    be. An error object in a 200 before any content is a refusal like its code, unless that is 408 or 5xx: then a model
    may have been at work. A target that may have been billed is not tried again, with no key: the same request twice
    at the same place is what nobody means to pay for. Another target is tried, under a reservation of its own.
    """
    row = next(row for row in TABLE if row.when(failure))
    maybe_billed = _maybe_billed(failure)
    steps = tuple(step for step in row.steps if step == "next_target" or not maybe_billed)
    aside_s = None if row.aside is None else row.aside(failure, now_ms)
    return Decision(
        row.case,
        (*steps, "stop"),
        maybe_billed,
        row.blame,
        row.counts if aside_s is None else (),
        aside_s,
        row.model_only,
        row.retries_max,
    )


def _maybe_billed(failure: Failure) -> bool:
    if failure.where == "answer":
        code = failure.code
        return code is None or code == 408 or code >= 500
    return failure.where in ("sent", "content")


# --- what a failure may be -------------------------------------------------------------------------------------

_TOO_LONG: Final = frozenset({"context_length_exceeded", "max_tokens_exceeded", "token_limit_exceeded"})
_TOO_LONG_TEXTS: Final = ("maximum context length", "context size", "prompt is too long")  # OpenAI and OpenRouter;
# llama.cpp; Anthropic
_NO_MODEL: Final = frozenset({"model_not_found", "model_deprecated", "no_endpoints", "wrong_endpoint"})
_CONTENT: Final = frozenset({"content_policy_violation", "refusal", "content_filter", "moderation"})
_KEY_LIMITS: Final = frozenset({"openrouter_key_limit", "openrouter_guardrail_budget", "openrouter_workspace_budget"})
_BEHIND: Final = frozenset(
    {"provider_unavailable", "provider_overloaded", "model_unavailable_upstream", "temporarily_unavailable", "timeout"}
)


def _status(*codes: int) -> Callable[[Failure], bool]:
    wanted = frozenset(codes)
    return lambda failure: failure.code in wanted


def _any_of(low: int, high: int) -> Callable[[Failure], bool]:
    return lambda failure: (code := failure.code) is not None and low <= code <= high


def _both(*conditions: Callable[[Failure], bool]) -> Callable[[Failure], bool]:
    return lambda failure: all(condition(failure) for condition in conditions)


def _came_to(where: str, *kinds: str) -> Callable[[Failure], bool]:
    return lambda failure: failure.where == where and (not kinds or failure.kind in kinds)


def _word(word: str) -> Callable[[Failure], bool]:
    return lambda failure: word in failure.words


def _too_long(failure: Failure) -> bool:
    return not _TOO_LONG.isdisjoint(failure.words) or any(text in failure.text for text in _TOO_LONG_TEXTS)


def _no_model(failure: Failure) -> bool:
    return not _NO_MODEL.isdisjoint(failure.words) or "is not a valid model id" in failure.message


def _asks_too_much(failure: Failure) -> bool:
    return "weight_exceeds_budget" in failure.words or "fewer max_tokens" in failure.message


def _in_flight(failure: Failure) -> bool:
    return "in_flight_budget_exhausted" in failure.words or failure.retry_after_s is not None


def _key_limit(failure: Failure) -> bool:
    return failure.limit_source in _KEY_LIMITS or "key limit exceeded" in failure.message


def _moderated(failure: Failure) -> bool:
    metadata = failure.part("metadata")
    return (
        not _CONTENT.isdisjoint(failure.words)
        or any(metadata.get(name) for name in ("reasons", "flagged_input", "patterns"))
        or "moderation" in failure.message
    )


def _free_tier(failure: Failure) -> bool:
    return failure.limit_source == "openrouter_free_tier_daily" or "free-models-per-day" in failure.message


def _behind_the_router(failure: Failure) -> bool:
    """Tell whether a router says that one of the providers behind it failed: it is well itself."""
    return (
        "provider returned error" in failure.message
        or isinstance(failure.part("metadata").get("provider_name"), str)
        or failure.limit_source.startswith("upstream")
        or not _BEHIND.isdisjoint(failure.words)
    )


def _no_json(failure: Failure) -> bool:
    return failure.error is None


def _always(_: Failure) -> bool:
    return True


# --- how long something is set aside ---------------------------------------------------------------------------


def _told(failure: Failure, _: int) -> float | None:
    return failure.retry_after_s


def _until_changed(failure: Failure, now_ms: int) -> float:
    """Give the seconds to the time at which the limit ends by its own word, else UNTIL_CHANGED_S."""
    reset_s = _reset_s(failure.said("resets_at"), now_ms)
    return UNTIL_CHANGED_S if reset_s is None else reset_s


_PERIODS: Final = (("daily", "day"), ("weekly", "week"), ("monthly", "month"))


def _key_limit_end(failure: Failure, now_ms: int) -> float:
    """Give the seconds to the limit's end: resets_at, or the UTC day, week (Monday) or month that its text names."""
    reset_s = _reset_s(failure.said("resets_at"), now_ms)
    if reset_s is not None:
        return reset_s
    for word, window in _PERIODS:
        if f"{word} limit" in failure.message:
            return _window_end_s(window, now_ms)
    return UNTIL_CHANGED_S


def _midnight(_: Failure, now_ms: int) -> float:
    return _window_end_s("day", now_ms)


def _window_end_s(window: str, now_ms: int) -> float:
    _, end_ms = window_bounds(window, ZoneInfo("UTC"), now_ms)
    assert end_ms is not None, "days, weeks and months end"
    return (end_ms - now_ms) / 1000


_FRACTION: Final = re.compile(r"\.\d+")


def _reset_s(value: Any, now_ms: int) -> float | None:
    """Give the seconds to an ISO 8601 time, or to epoch seconds or ms; None for the past and what is no time."""
    if isinstance(value, str) and len(value) <= 64:
        try:
            at = datetime.fromisoformat(_FRACTION.sub("", value))
        except ValueError:
            return None
        at_s = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
    elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        at_s = value / 1000 if value > 10**11 else value  # 10**11 s are the year 5138
    else:
        return None
    reset_s = at_s - now_ms / 1000
    return reset_s if reset_s > 0 else None


# --- the table ---------------------------------------------------------------------------------------------------

_MOVE: Final[tuple[Step, ...]] = ("next_target",)
_RETRY: Final[tuple[Step, ...]] = ("retry", "next_target")
_KEYS: Final[tuple[Step, ...]] = ("next_key", "next_target")
_STOP: Final[tuple[Step, ...]] = ()
_BOTH: Final[tuple[Breaker, ...]] = ("provider", "model")
_PROVIDER: Final[tuple[Breaker, ...]] = ("provider",)
_MODEL: Final[tuple[Breaker, ...]] = ("model",)

# fmt: off
TABLE: Final[tuple[Row, ...]] = (
    # After content nothing helps: a second answer would follow half of a first.
    Row("content_refused", _both(_came_to("content"), _any_of(300, 499)),       _STOP,  "none"),
    Row("content_broke",   _came_to("content"),                                 _STOP,  "provider", _BOTH),

    # No request was sent. A bad certificate stays bad; a closed port may open while another target answers.
    Row("tls",             _came_to("connect", "tls"),                          _MOVE,  "provider", _PROVIDER),
    Row("unreachable",     _came_to("connect"),              ("next_target", "retry"),  "provider", _PROVIDER),

    # The request was sent and no status came: it may be at work and billed.
    Row("no_status",       _came_to("sent"),                                    _MOVE,  "provider", _BOTH),

    # The request is at fault; elsewhere only for a model that takes more, or for a name that this provider lacks.
    Row("too_long",        _both(_status(400, 413), _too_long),                 _MOVE,  "model"),
    Row("no_model",        _both(_status(400), _no_model),                      _MOVE,  "model"),
    Row("bad_request",     _status(400, 412, 422),                              _STOP,  "request"),
    Row("too_large",       _status(413),                                        _MOVE,  "request"),

    # The key is bad, or has nothing left. What only this request asks too much for, a smaller one may still get.
    Row("bad_key",         _status(401),                                        _KEYS,  "key", aside=_until_changed),
    Row("asks_too_much",   _both(_status(402), _asks_too_much),                 _KEYS,  "key"),
    Row("in_flight",       _both(_status(402), _in_flight), ("retry", "next_key", "next_target"), "key"),
    Row("no_credits",      _status(402),                                        _KEYS,  "key", aside=_until_changed),
    Row("no_quota",        _both(_status(429), _word("insufficient_quota")),    _KEYS,  "key", aside=_until_changed),
    Row("key_limit",       _both(_status(403), _key_limit),                     _KEYS,  "key", aside=_key_limit_end),

    # What the content is refused for at one place is not carried to the next: that is the caller's to decide.
    Row("moderated",       _both(_status(403), _moderated),                     _STOP,  "request"),
    Row("edge_refused",    _both(_status(403), _no_json),                       _MOVE,  "provider", _PROVIDER),
    Row("forbidden",       _status(403),                                        _KEYS,  "model"),
    Row("not_here",        _status(404, 405, 410, 451),                         _MOVE,  "model"),

    # Limits on a rate: one key's for free models until midnight UTC, that of a provider behind a router, a key's.
    Row("free_tier",       _both(_status(429), _free_tier),                     _KEYS,  "key",
        aside=_midnight, model_only=True),
    Row("busy_behind",     _both(_status(429), _behind_the_router), ("next_target", "retry"), "model", _MODEL, _told),
    Row("rate_limited",    _status(429),            ("next_key", "next_target", "retry"),     "key",   _MODEL, _told,
        model_only=True),

    # The provider fails. A router behind which a provider failed is well itself: only the model counts it.
    Row("timed_out",       _status(408),                                        _RETRY, "provider", _BOTH,
        retries_max=1),
    Row("failed_once",     _status(500),                                        _RETRY, "provider", _BOTH,
        retries_max=1),
    Row("not_implemented", _status(501, 505),                                   _MOVE,  "model"),
    Row("failed_behind",   _both(_any_of(500, 599), _behind_the_router),        _RETRY, "model", _MODEL),
    Row("failed",          _any_of(500, 599),                                   _RETRY, "provider", _BOTH),
    Row("redirected",      _any_of(300, 399),                                   _MOVE,  "provider", _PROVIDER),
    Row("refused",         _any_of(400, 499),                                   _STOP,  "request"),

    # A 200 that broke off, timed out, or holds an error of no known code before any content.
    Row("answer_broke",    _came_to("answer"),                                  _MOVE,  "provider", _BOTH),
    Row("unknown",         _always,                                             _MOVE,  "provider", _BOTH),
)
# fmt: on
