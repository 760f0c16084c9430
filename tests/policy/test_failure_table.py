"""The table of what follows a failed attempt: the errors that providers really send, and every shape they might."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.failure import Failure, status_of
from proxy.policy.failure_table import TABLE, UNTIL_CHANGED_S, decide
from proxy.simulator.faults import FAULTS, anthropic_error, openai_error, openrouter_error

NOW_MS = int(datetime(2026, 11, 18, 18, 30, tzinfo=UTC).timestamp() * 1000)  # a Wednesday
HOUR_S = 3600.0
TO_MIDNIGHT_S = 5.5 * HOUR_S
RESETS_AT_S = datetime(2026, 12, 1, tzinfo=UTC).timestamp() - NOW_MS / 1000

KEYS = ("next_key", "next_target", "stop")
MOVE = ("next_target", "stop")
AGAIN = ("next_target", "retry", "stop")
BOTH = ("provider", "model")

# name of the simulated error: (case, steps, blame, counts, seconds aside)
BY_FAULT: dict[str, tuple[str, tuple[str, ...], str, tuple[str, ...], float | None]] = {
    "invalid-model": ("no_model", MOVE, "model", (), None),
    "context-length": ("too_long", MOVE, "model", (), None),
    "bad-parameter": ("bad_request", ("stop",), "request", (), None),
    "no-auth": ("bad_key", KEYS, "key", (), UNTIL_CHANGED_S),
    "no-cookie-auth": ("bad_key", KEYS, "key", (), UNTIL_CHANGED_S),
    "user-not-found": ("bad_key", KEYS, "key", (), UNTIL_CHANGED_S),
    "missing-header": ("bad_key", KEYS, "key", (), UNTIL_CHANGED_S),
    "credits-fewer-max-tokens": ("asks_too_much", KEYS, "key", (), None),
    "credits-insufficient": ("no_credits", KEYS, "key", (), UNTIL_CHANGED_S),
    "credits-never-purchased": ("no_credits", KEYS, "key", (), UNTIL_CHANGED_S),
    "in-flight-budget": ("in_flight", ("next_key", "next_target", "retry", "stop"), "key", (), None),
    "weight-exceeds-budget": ("asks_too_much", KEYS, "key", (), None),
    "key-limit": ("key_limit", KEYS, "key", (), RESETS_AT_S),
    "key-limit-daily": ("key_limit", KEYS, "key", (), TO_MIDNIGHT_S),
    "guardrail-budget": ("key_limit", KEYS, "key", (), UNTIL_CHANGED_S),
    "workspace-budget": ("key_limit", KEYS, "key", (), UNTIL_CHANGED_S),
    "moderation": ("moderated", MOVE, "request", (), None),
    "management-only": ("forbidden", KEYS, "model", (), None),
    "no-endpoints": ("no_model", MOVE, "model", (), None),
    "no-tool-endpoints": ("cannot", MOVE, "model", (), None),
    "no-image-endpoints": ("cannot", MOVE, "model", (), None),
    "data-policy": ("not_here", MOVE, "model", (), None),
    "no-allowed-providers": ("not_here", MOVE, "model", (), None),
    "request-timeout": ("timed_out", MOVE, "provider", BOTH, None),
    "precondition": ("unclear", MOVE, "request", (), None),
    "too-large": ("too_large", MOVE, "request", (), None),
    "unprocessable": ("unclear", MOVE, "request", (), None),
    "free-per-day": ("free_tier", KEYS, "key", (), TO_MIDNIGHT_S),
    "free-per-minute": ("rate_limited", ("next_key", "next_target", "retry", "stop"), "key", ("model",), None),
    "high-demand": ("rate_limited", ("next_key", "next_target", "retry", "stop"), "key", ("model",), None),
    "upstream-rate-limit": ("busy_behind", ("next_target", "retry", "stop"), "model", (), 12.0),
    "server-error": ("failed_once", AGAIN, "provider", BOTH, None),
    "provider-error": ("failed_behind", AGAIN, "model", ("model",), None),
    "overloaded": ("overloaded", AGAIN, "model", ("model",), None),
    "gateway-timeout": ("failed_behind", MOVE, "model", ("model",), None),
    "edge-timeout": ("failed", MOVE, "provider", BOTH, None),
    "provider-overloaded": ("overloaded", AGAIN, "model", ("model",), None),
    "html-403": ("edge_refused", MOVE, "provider", ("provider",), None),
    "html-500": ("failed_once", AGAIN, "provider", BOTH, None),
    "html-502": ("failed", MOVE, "provider", BOTH, None),
    "html-503": ("failed", AGAIN, "provider", BOTH, None),
    "html-520": ("failed", AGAIN, "provider", BOTH, None),
}

PROVE_NOTHING = {"request-timeout", "gateway-timeout", "edge-timeout", "html-502"}  # somebody on the way gave up


def failure_of(name: str) -> Failure:
    fault = FAULTS[name]
    error = None
    if fault.body == "json":
        error = openrouter_error(fault.status, fault.message, fault.metadata)["error"]
    told = fault.headers.get("Retry-After")
    return Failure("status", fault.status, None, error, None if told is None else float(told))


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_every_error_that_openrouter_sends(name: str) -> None:
    case, steps, blame, counts, aside_s = BY_FAULT[name]
    decision = decide(failure_of(name), NOW_MS)
    assert (decision.case, decision.steps, decision.blame, decision.counts) == (case, steps, blame, counts)
    assert decision.set_aside_s == aside_s
    assert decision.maybe_billed == (name in PROVE_NOTHING)


@pytest.mark.parametrize("name", sorted(name for name, fault in FAULTS.items() if fault.body == "json"))
def test_the_same_error_within_a_200_goes_by_its_code(name: str) -> None:
    failure = failure_of(name)
    decision = decide(failure._replace(where="answer", status=200), NOW_MS)
    by_status = decide(failure, NOW_MS)
    assert (decision.case, decision.blame, decision.set_aside_s) == (
        by_status.case,
        by_status.blame,
        by_status.set_aside_s,
    )
    a_model_was_at_work = name in PROVE_NOTHING
    assert decision.maybe_billed == a_model_was_at_work
    if a_model_was_at_work:
        assert decision.steps == MOVE, "a target that may have been paid is not asked twice"
    else:
        assert decision.steps == by_status.steps


@pytest.mark.parametrize(
    ("failure", "case", "steps", "billed", "counts"),
    [
        (Failure("connect", kind="unreachable"), "unreachable", ("next_target", "retry", "stop"), False, ("provider",)),
        (Failure("connect", kind="connect_timeout"), "unreachable", ("next_target", "retry", "stop"), False, None),
        (Failure("connect", kind="tls"), "tls", MOVE, False, ("provider",)),
        (Failure("sent", kind="header_timeout"), "no_status", MOVE, True, BOTH),
        (Failure("sent", kind="broken"), "no_status", MOVE, True, BOTH),
        (Failure("answer", 200, "idle_timeout"), "answer_broke", MOVE, True, BOTH),
        (Failure("answer", 200, "broken"), "answer_broke", MOVE, True, BOTH),
        (Failure("answer", 200, error={"message": "?"}), "answer_broke", MOVE, True, BOTH),
        (Failure("content", 200, "broken"), "content_broke", ("stop",), True, BOTH),
        (Failure("content", 200, error={"code": 502}), "content_broke", ("stop",), True, BOTH),
        (Failure("content", 200, error={"code": 403}), "content_refused", ("stop",), True, ()),
        (Failure("status", 302), "redirected", MOVE, False, ("provider",)),
        (Failure("status", 418), "refused", MOVE, False, ()),
        (Failure("status", 501), "not_implemented", MOVE, False, ()),
    ],
)
def test_where_it_broke(
    failure: Failure, case: str, steps: tuple[str, ...], billed: bool, counts: tuple[str, ...] | None
) -> None:
    decision = decide(failure, NOW_MS)
    assert (decision.case, decision.steps, decision.maybe_billed) == (case, steps, billed)
    if counts is not None:
        assert decision.counts == counts


@pytest.mark.parametrize(
    ("status", "code", "case"),
    [
        (400, "context_length_exceeded", "too_long"),
        (404, "model_not_found", "no_model"),
        (401, "invalid_api_key", "bad_key"),
        (429, "insufficient_quota", "no_credits"),
        (429, "rate_limit_exceeded", "rate_limited"),
        (500, None, "failed_once"),
    ],
)
def test_openais_words(status: int, code: str | None, case: str) -> None:
    error = openai_error(status, "Something is wrong.", code=code)["error"]
    assert decide(Failure("status", status, error=error), NOW_MS).case == case


@pytest.mark.parametrize(
    ("status", "case"), [(400, "unclear"), (401, "bad_key"), (429, "rate_limited"), (529, "overloaded")]
)
def test_anthropics_words(status: int, case: str) -> None:
    error = anthropic_error(status, "Something is wrong.")["error"]
    assert decide(Failure("status", status, error=error), NOW_MS).case == case
    assert decide(Failure("answer", 200, error=error), NOW_MS).case == case


@pytest.mark.parametrize(
    ("message", "end"),
    [
        ("Key limit exceeded (daily limit).", datetime(2026, 11, 19, tzinfo=UTC)),
        ("Key limit exceeded (weekly limit).", datetime(2026, 11, 23, tzinfo=UTC)),
        ("Key limit exceeded (monthly limit).", datetime(2026, 12, 1, tzinfo=UTC)),
    ],
)
def test_a_key_limit_ends_with_its_period(message: str, end: datetime) -> None:
    decision = decide(Failure("status", 403, error={"code": 403, "message": message}), NOW_MS)
    assert decision.set_aside_s == end.timestamp() - NOW_MS / 1000


@pytest.mark.parametrize(
    ("resets_at", "aside_s"),
    [
        ("2026-11-18T19:30:00Z", HOUR_S),
        ("2026-11-18T20:30:00.000+01:00", HOUR_S),
        ("2026-11-18T19:30:00", HOUR_S),
        (NOW_MS + 60_000, 60.0),
        (NOW_MS / 1000 + 60, 60.0),
        ("2026-11-18T18:00:00Z", UNTIL_CHANGED_S),  # in the past: it says nothing
        ("soon", UNTIL_CHANGED_S),
        ("9" * 1000, UNTIL_CHANGED_S),
        (float("nan"), UNTIL_CHANGED_S),
        (True, UNTIL_CHANGED_S),
        (None, UNTIL_CHANGED_S),
    ],
)
def test_when_credits_come_back(resets_at: object, aside_s: float) -> None:
    error = {"code": 402, "message": "Insufficient credits.", "metadata": {"resets_at": resets_at}}
    assert decide(Failure("status", 402, error=error), NOW_MS).set_aside_s == pytest.approx(aside_s)


def test_a_402_with_retry_after_is_tried_again() -> None:
    assert "retry" in decide(Failure("status", 402, retry_after_s=2.0), NOW_MS).steps


def test_an_availability_section_names_the_cause() -> None:
    error = {"code": 400, "message": "?", "availability": {"code": "model_not_found", "retryable": False}}
    assert decide(Failure("status", 400, error=error), NOW_MS).case == "no_model"


def test_a_context_error_is_seen_behind_a_router() -> None:
    raw = '{"error":{"message":"This model\'s maximum context length is 8192 tokens."}}'
    error = {"code": 400, "message": "Provider returned error", "metadata": {"raw": raw}}
    assert decide(Failure("status", 400, error=error), NOW_MS).case == "too_long"


def test_some_statuses_are_tried_again_once_only() -> None:
    assert decide(Failure("status", 408), NOW_MS).retries_max == 1
    assert decide(Failure("status", 500), NOW_MS).retries_max == 1
    assert decide(Failure("status", 502), NOW_MS).retries_max is None


def test_every_row_has_a_name_of_its_own() -> None:
    cases = [row.case for row in TABLE]
    assert len(set(cases)) == len(cases)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"code": 502}, 502),
        ({"code": "502"}, 502),
        ({"code": True}, None),
        ({"code": 200}, None),
        ({"code": 10**30}, None),
        ({"code": "rate_limit_exceeded"}, 429),
        ({"code": None, "type": "overloaded_error"}, 529),
        ({"metadata": {"error_type": "provider_unavailable"}}, 502),
        ({"availability": {"http_status": 503}}, 503),
        ({"code": ["x"]}, None),
        ({}, None),
    ],
)
def test_the_status_that_an_error_stands_for(error: dict[str, Any], status: int | None) -> None:
    assert status_of(error) == status


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_PARTS = dict.fromkeys(("code", "message", "type", "availability", "status", "error_type"), _JSON)
_METADATA = st.dictionaries(
    st.sampled_from(["error_type", "limit_source", "raw", "resets_at", "reasons", "provider_name"]), _JSON
)
_ERRORS = st.none() | st.fixed_dictionaries({}, optional={**_PARTS, "metadata": _METADATA | _JSON})


@given(
    st.builds(
        Failure,
        st.sampled_from(["connect", "sent", "status", "answer", "content"]),
        st.none() | st.integers(100, 999),
        st.none() | st.sampled_from(["tls", "broken", "idle_timeout"]),
        _ERRORS,
        st.none() | st.floats(0, 1e12),
    )
)
def test_any_failure_has_a_decision_that_cannot_pay_twice(failure: Failure) -> None:
    decision = decide(failure, NOW_MS)
    assert decision.steps[-1] == "stop"
    assert len(set(decision.steps)) == len(decision.steps)
    assert decision.set_aside_s is None or decision.set_aside_s >= 0
    if decision.maybe_billed:
        assert not {"retry", "next_key"} & set(decision.steps)
    if failure.where in ("sent", "content"):
        assert decision.maybe_billed
    if failure.where == "connect" or (failure.where == "status" and failure.status not in (408, 502, 504, 524)):
        assert not decision.maybe_billed
    if failure.where == "content":
        assert decision.steps == ("stop",)
    if decision.blame == "request":
        assert not decision.counts
