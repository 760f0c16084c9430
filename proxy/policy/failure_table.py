"""What to do after a failed attempt: one table over where it broke, the status and the error. Pure.

The facts about the statuses are OpenRouter's and OpenAI's documentation and answers seen on the wire in 2026. The
first row of TABLE that applies decides; `tests/policy/test_failure_table.py` walks through all of them.
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

from msgspec import Struct

from proxy.policy.error_words import Kind, PhraseMatch, kind_of
from proxy.policy.failure import EMPTY, ErrorWords, Failure, words_of
from proxy.policy.quota.window import window_bounds

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
    phrase: the words that told the case, where the status alone would not have; what the client itself wrote into its
        request must not be taken for the provider's word.
    """

    case: str
    steps: tuple[Step, ...]
    maybe_billed: bool
    blame: Blame
    counts: tuple[Breaker, ...] = ()
    set_aside_s: float | None = None
    model_only: bool = False
    retries_max: int | None = None
    phrase: str | None = None


class Reading(Struct, frozen=True):
    """A failure and the meaning of its words."""

    failure: Failure
    code: int | None
    words: ErrorWords
    match: PhraseMatch | None

    @property
    def kind(self) -> Kind | None:
        return None if self.match is None else self.match.kind


class Case(Struct, frozen=True):
    """One row of the table. aside gives the seconds to set aside for, by the failure and the time in epoch ms."""

    case: str
    when: Callable[[Reading], bool]
    steps: tuple[Step, ...]
    blame: Blame
    counts: tuple[Breaker, ...] = ()
    aside: Callable[[Failure, int], float | None] | None = None
    model_only: bool = False
    retries_max: int | None = None


def decide(failure: Failure, now_ms: int) -> Decision:
    """Find the row for a failure; now_ms is the wall clock (epoch ms), for limits that end at a date.

    What may have been billed (may_be_billed()) is not tried again at the same target, with no key: nobody wants to pay
    twice for the same request at the same place. Another target is tried, under a reservation of its own.
    """
    reading = read(failure)
    row = next(row for row in TABLE if row.when(reading))
    maybe_billed = may_be_billed(failure, reading)
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
        None if reading.match is None or reading.code in (401, 402) else reading.match.phrase,
    )


def read(failure: Failure) -> Reading:
    """Return a failure with what its words say."""
    words = words_of(failure.error)
    return Reading(failure, failure.code, words, kind_of(words.text, words.codes))


_GATEWAY_TIMEOUTS: Final = frozenset({408, 502, 504, 524})


def may_be_billed(failure: Failure, reading: Reading | None = None) -> bool:
    """Return whether the provider may charge for an attempt that failed in this way.

    Once the request was sent, silence proves nothing. A status is a refusal: the provider says that it did not do the
    work, and says so before any of it went out; none that is known charges for that. proves_nothing() has the
    exceptions. An error object in a 200 before any content is a refusal where its code is below 500, where its words
    are known, a crash of the server among them, or where a router says that the provider behind it failed; else a
    model may have been at work. A 200 that ended by itself and holds neither an answer nor a count is nobody's work.
    Settlement goes by the same word (pipeline/settlement/settle.py, AttemptResult.unproven).
    """
    if failure.where == "answer" and failure.kind == EMPTY:
        return False
    if failure.where not in ("status", "answer"):
        return failure.where != "connect"
    reading = reading or read(failure)
    if proves_nothing(reading):
        return True
    if failure.where == "status":
        return False
    is_refusal = reading.kind is not None or _behind_the_router(reading)
    return not is_refusal and (reading.code is None or reading.code >= 500)


def proves_nothing(reading: Reading) -> bool:
    """Return whether a status, or the code of an error in a 200, leaves open what was done.

    So it does where somebody on the way gave up waiting (408, 504, 524), or had no answer that it understood (502):
    whoever sat behind may have finished, and charges. A 502 by which a router says itself that the provider behind it
    failed, or that there is no room, is a refusal.
    """
    if reading.code not in _GATEWAY_TIMEOUTS:
        return False
    return reading.code != 502 or not (reading.kind == "overloaded" or _behind_the_router(reading))


# --- what a failure may be -------------------------------------------------------------------------------------

_BEHIND: Final = frozenset(
    {"provider_unavailable", "provider_overloaded", "model_unavailable_upstream", "temporarily_unavailable", "timeout"}
)

When = Callable[[Reading], bool]


def _status(*codes: int) -> When:
    wanted = frozenset(codes)
    return lambda reading: reading.code in wanted


def _any_of(low: int, high: int) -> When:
    return lambda reading: (code := reading.code) is not None and low <= code <= high


def _both(*conditions: When) -> When:
    return lambda reading: all(condition(reading) for condition in conditions)


def _either(*conditions: When) -> When:
    return lambda reading: any(condition(reading) for condition in conditions)


def _came_to(where: str, *kinds: str) -> When:
    return lambda reading: reading.failure.where == where and (not kinds or reading.failure.kind in kinds)


def _says(kind: Kind) -> When:
    return lambda reading: reading.kind == kind


def _not(code: int) -> When:
    return lambda reading: reading.code != code


def _in_flight(reading: Reading) -> bool:
    return "in_flight_budget_exhausted" in reading.words.codes or reading.failure.retry_after_s is not None


def _moderated(reading: Reading) -> bool:
    metadata = reading.failure.part("metadata")
    return reading.kind == "moderated" or any(metadata.get(name) for name in ("reasons", "flagged_input", "patterns"))


def _free_tier(reading: Reading) -> bool:
    failure = reading.failure
    return failure.limit_source == "openrouter_free_tier_daily" or "free-models-per-day" in failure.message


def _behind_the_router(reading: Reading) -> bool:
    """Return whether a router reports that a provider behind it failed, while it is healthy itself."""
    failure = reading.failure
    return (
        "provider returned error" in failure.message
        or isinstance(failure.part("metadata").get("provider_name"), str)
        or failure.limit_source.startswith("upstream")
        or not _BEHIND.isdisjoint(reading.words.codes)
    )


def _page(reading: Reading) -> bool:
    return reading.failure.error is None or (reading.failure.is_page and reading.kind is None)


def _always(_: Reading) -> bool:
    return True


# --- how long something is set aside ---------------------------------------------------------------------------


def _told(failure: Failure, _: int) -> float | None:
    return failure.retry_after_s


def _told_by_429(failure: Failure, _: int) -> float | None:
    """Return the announced wait if it is a limit's; with any other status it only guesses when service is restored."""
    return failure.retry_after_s if failure.code == 429 else None


def _until_changed(failure: Failure, now_ms: int) -> float:
    """Return the seconds until the limit ends, as it says itself, else UNTIL_CHANGED_S."""
    reset_s = _reset_s(failure.value("resets_at"), now_ms)
    return UNTIL_CHANGED_S if reset_s is None else reset_s


_PERIODS: Final = (("daily", "day"), ("weekly", "week"), ("monthly", "month"))


def _key_limit_end(failure: Failure, now_ms: int) -> float:
    """Return the seconds until the limit's end: resets_at, the announced wait, or the end of the named period.

    Periods are the UTC day, week (from Monday) and month.
    """
    reset_s = _reset_s(failure.value("resets_at"), now_ms)
    if reset_s is not None:
        return reset_s
    if failure.retry_after_s is not None:
        return failure.retry_after_s
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
    """Return the seconds until an ISO 8601 time, or epoch seconds or ms; None for the past and anything else."""
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
_AGAIN: Final[tuple[Step, ...]] = ("next_target", "retry")
_KEYS: Final[tuple[Step, ...]] = ("next_key", "next_target")
_ALL: Final[tuple[Step, ...]] = ("next_key", "next_target", "retry")
_STOP: Final[tuple[Step, ...]] = ()
_BOTH: Final[tuple[Breaker, ...]] = ("provider", "model")
_PROVIDER: Final[tuple[Breaker, ...]] = ("provider",)
_MODEL: Final[tuple[Breaker, ...]] = ("model",)

# fmt: off
TABLE: Final[tuple[Case, ...]] = (
    # After content nothing helps: a second answer would follow half of a first.
    Case("content_refused", _both(_came_to("content"), _any_of(300, 499)),       _STOP,  "none"),
    Case("content_broke",   _came_to("content"),                                 _STOP,  "provider", _BOTH),

    # No request was sent. A bad certificate stays bad; a closed port may open while another target answers.
    Case("tls",             _came_to("connect", "tls"),                          _MOVE,  "provider", _PROVIDER),
    Case("unreachable",     _came_to("connect"),                                 _AGAIN, "provider", _PROVIDER),

    # The request was sent and no status came: it may be at work and billed.
    Case("no_status",       _came_to("sent"),                                    _MOVE,  "provider", _BOTH),

    # The key is bad, or has nothing left. What only this request asks too much for, a smaller one may still get.
    Case("free_tier",       _both(_status(429), _free_tier),                     _KEYS,  "key",
        aside=_midnight, model_only=True),
    Case("asks_too_much",   _says("asks_too_much"),                              _KEYS,  "key"),
    Case("in_flight",       _both(_status(402), _in_flight),                     _ALL,   "key"),
    Case("key_limit",       _says("spent"),                                      _KEYS,  "key", aside=_key_limit_end),
    Case("no_credits",      _either(_status(402), _says("no_credits")),          _KEYS,  "key", aside=_until_changed),
    Case("bad_key",         _either(_status(401), _says("bad_key")),             _KEYS,  "key", aside=_until_changed),

    # This request does not suit this target; another takes more, has the model, or knows the field.
    Case("too_long",        _says("too_long"),                                   _MOVE,  "model"),
    Case("moderated",       _moderated,                                          _MOVE,  "request"),
    Case("no_model",        _both(_says("no_model"), _not(403)),                 _MOVE,  "model"),
    Case("cannot",          _says("cannot"),                                     _MOVE,  "model"),
    Case("too_large",       _either(_status(413), _says("too_large")),           _MOVE,  "request"),
    Case("bad_request",     _both(_says("at_fault"), _status(400, 412, 422)),    _STOP,  "request"),

    # There is no room: at a provider behind a router, for anybody, or for this key.
    Case("busy_behind",     _both(_status(429), _behind_the_router),             _AGAIN, "model", _MODEL, _told),
    Case("overloaded",      _says("overloaded"),                                 _AGAIN, "model", _MODEL, _told_by_429),
    Case("rate_limited",    _either(_status(429), _says("rate")),                _ALL,   "key",   _MODEL, _told,
        model_only=True),

    # The words say nothing that is known: the status counts.
    Case("crashed",         _both(_says("crashed"), _any_of(400, 499)),          _AGAIN, "model", _MODEL,
        retries_max=1),
    Case("edge_refused",    _both(_status(403), _page),                       _MOVE,  "provider", _PROVIDER),
    Case("forbidden",       _either(_status(403), _says("forbidden")),           _KEYS,  "model"),
    Case("not_here",        _status(404, 405, 410, 451),                         _MOVE,  "model"),
    Case("unclear",         _status(400, 412, 422),                              _MOVE,  "request"),

    # The provider fails. A router behind which a provider failed is well itself: only the model counts it.
    Case("timed_out",       _status(408),                                        _AGAIN, "provider", _BOTH,
        retries_max=1),
    Case("failed_once",     _status(500),                                        _AGAIN, "provider", _BOTH,
        retries_max=1),
    Case("not_implemented", _status(501, 505),                                   _MOVE,  "model"),
    Case("failed_behind",   _both(_any_of(500, 599), _behind_the_router),        _AGAIN, "model", _MODEL),
    Case("failed",          _any_of(500, 599),                                   _AGAIN, "provider", _BOTH),
    Case("redirected",      _any_of(300, 399),                                   _MOVE,  "provider", _PROVIDER),
    Case("refused",         _any_of(400, 499),                                   _MOVE,  "request"),

    # A 200 that broke off, timed out, or holds an error of no known code before any content.
    Case("answer_broke",    _came_to("answer"),                                  _MOVE,  "provider", _BOTH),
    Case("unknown",         _always,                                             _MOVE,  "provider", _BOTH),
)
# fmt: on
