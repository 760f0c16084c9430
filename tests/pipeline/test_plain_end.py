"""The end of a plain request in one step is what working it out comes to, whatever was kept from the one before."""

from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from proxy.core.counts import NO_COUNTS
from proxy.core.limit_kinds import NONE_ASKED
from proxy.pipeline.settlement.earlier_attempts import EarlierAttempts
from proxy.pipeline.settlement.plain_end import keep_end
from proxy.pipeline.settlement.recorder import Recorder
from proxy.pipeline.values.attempt import Attempt
from proxy.pipeline.values.attempt_result import AttemptResult
from proxy.pipeline.values.plain_end import PlainEnd
from proxy.pipeline.values.reservation import Reservation
from proxy.pipeline.values.route import Route, Target
from proxy.pipeline.values.settlement import HUNG_UP, Settlement
from proxy.policy.quota.scope_totals import NOTHING_TAKEN, Hold, LateSums, RequestScopes
from proxy.storage.rows import RequestEnd, Reserved
from proxy.wire.usage import ExtraCounts, Usage
from tests.support.context import request_context

USAGE = Usage(20, 30, 4, 5, 123_456_789, True, None, False, 99_000_000, None)
RESULT: dict[str, Any] = {
    "dispatched": True,
    "status": 200,
    "generation_id": "gen-1794-abc",
    "model": "openai/gpt-4o-mini",
    "served_by": "OpenAI",
    "finish_reason": "stop",
    "usage": USAGE,
    "content_seen": True,
    "complete": True,
    "first_byte_s": 10.25,
}
TARGETS = [Target("openrouter", "openai/gpt-4o-mini"), Target("openrouter", "openai/gpt-4o-mini", handed=("other",))]
PROVIDERS = [
    SimpleNamespace(name="openrouter", rules=rules, dialect=SimpleNamespace(**terms))
    for rules, terms in (
        (None, {"reports_cost": True, "takes_cost": True, "has_generations": True}),
        (None, {"reports_cost": False, "takes_cost": True, "has_generations": False}),
        (
            SimpleNamespace(request_pusd=lambda _: 7),
            {"reports_cost": True, "takes_cost": True, "has_generations": True},
        ),
    )
]
# of an answer, and of all else that an end depends on
ANSWERS: list[dict[str, Any]] = [
    {},
    *({"usage": USAGE._replace(input_tokens=value)} for value in (None, 0, 7)),
    *({"usage": USAGE._replace(output_tokens=value)} for value in (None, 0, 7)),
    *({"usage": USAGE._replace(cached_tokens=value)} for value in (None, 0)),
    *({"usage": USAGE._replace(reasoning_tokens=value)} for value in (None, 0)),
    *({"usage": USAGE._replace(cost_pusd=value)} for value in (None, 0, 10**9, 10**15)),
    {"usage": USAGE._replace(cost_exact=False)},
    {"usage": USAGE._replace(cost_pusd=None, cost_problem="negative")},
    *({"usage": USAGE._replace(is_byok=value)} for value in (None, True)),
    {"usage": USAGE._replace(upstream_pusd=None)},
    {"usage": USAGE._replace(extras=ExtraCounts(NO_COUNTS, doubts=frozenset({"counts_differ"})))},
    {"usage": USAGE._replace(extras=ExtraCounts(NO_COUNTS._replace(images=2)))},
    {"usage": None},
    {"dispatched": False},
    {"canned": True},
    {"status": 502},
    {"status": None},
    {"error": "upstream_error", "failed": True},
    {"flags": frozenset({HUNG_UP})},
    {"usage_is_open": True},
    {"least_tokens": 31},
    {"generation_id": None},
    {"generation_id": "gen-\n"},
    {"generation_id": "g" * 129},
    {"generation_id": "ü"},
    {"model": None},
    {"model": "openai/gpt-4o"},
    {"model": "x" * 300},
    {"served_by": None},
    {"served_by": "Azure"},
    {"finish_reason": "length"},
    {"finish_reason": None},
    {"finish_reason": "a text that quotes"},
    {"first_byte_s": None},
    {"first_byte_s": 10.75},
]
OTHERWISE: list[dict[str, Any]] = [
    {},
    {"status": 499},
    {"streamed": True},
    {"amount_pusd": None},
    {"amount_pusd": 1},
    {"tokens": 900},
    {"target": TARGETS[1]},
    {"provider": PROVIDERS[1]},
    {"provider": PROVIDERS[2]},
    {"downgraded": True},
    {"key_held": Hold(1, RequestScopes((), LateSums(ZoneInfo("UTC"))), 0, NOTHING_TAKEN, running=True)},
    {"is_open": False},
    {"id": 78, "started_ms": 1_794_000_000_999},
]


def _recorder(
    answer: dict[str, Any], otherwise: dict[str, Any], plain: PlainEnd, raised: list[tuple[int, int]] | None = None
) -> tuple[Recorder, int]:
    """Return a recorder whose request has been answered, and the status that the client gets.

    raised: takes the holds that were raised, by request.
    """
    raised = [] if raised is None else raised
    told: dict[str, Any] = {
        "status": 200,
        "streamed": False,
        "amount_pusd": 10**12,
        "tokens": None,
        "target": TARGETS[0],
        "provider": PROVIDERS[0],
        "downgraded": False,
        "key_held": None,
        "is_open": True,
        "id": 77,
        "started_ms": 1_794_000_000_123,
        **otherwise,
    }
    target = told["target"]
    row: Any = SimpleNamespace(target_provider=target.provider, target_model=target.model)
    identity: Any = SimpleNamespace(user="anna", group="g", allowance=SimpleNamespace(groups_above="unit"))
    route = Route((target,), {}, target.model, "mail")
    amount_pusd, tokens = told["amount_pusd"], told["tokens"]
    reservation = Reservation(
        row, amount_pusd, route, identity, None, told["id"], told["streamed"], tokens, NONE_ASKED, plain
    )
    context = request_context(told["id"], started_ms=told["started_ms"], started_s=10.0, downgraded=told["downgraded"])
    services: Any = SimpleNamespace(
        clock=SimpleNamespace(monotonic_s=lambda: 11.5),
        model_lists=SimpleNamespace(price=lambda *_: None),
        limiter=SimpleNamespace(raise_to=lambda id_, pusd: raised.append((id_, pusd))),
    )
    recorder = Recorder(context, reservation, services)
    result = AttemptResult(**{**RESULT, **answer})
    missing: Any = None
    recorder.attempt = Attempt(1, target, told["provider"], missing, 10.1, missing, result)
    recorder.attempt.key_held = told["key_held"]
    recorder.is_open = told["is_open"]
    return recorder, told["status"]


def _worked_out(answer: dict[str, Any], otherwise: dict[str, Any]) -> tuple[RequestEnd, Settlement, int]:
    recorder, status = _recorder(answer, otherwise, PlainEnd())
    end, settlement, _ = recorder._told(status, None)
    return end, settlement, recorder._quota_tokens


def _kept(answer: dict[str, Any], otherwise: dict[str, Any]) -> PlainEnd:
    plain = PlainEnd()
    recorder, status = _recorder(answer, otherwise, plain)
    assert recorder.attempt is not None
    keep_end(plain, recorder.reservation, recorder.attempt, recorder._told(status, None)[0])
    return plain


def _in_one_step(
    plain: PlainEnd, answer: dict[str, Any], otherwise: dict[str, Any]
) -> tuple[RequestEnd, Settlement, int] | None:
    recorder, status = _recorder(answer, otherwise, plain)
    settlement = recorder._settle_plainly(status)
    if settlement is None:
        assert (recorder.settlement, recorder._end) == (None, None)
        return None
    assert recorder._end is not None
    return recorder._end, settlement, recorder._quota_tokens


@pytest.mark.parametrize("before", ANSWERS, ids=str)
def test_whatever_was_answered_before(before: dict[str, Any]) -> None:
    plain = _kept(before, {})
    for answer in ANSWERS:
        found = _in_one_step(plain, answer, {})
        assert found is None or found == _worked_out(answer, {}), answer


@pytest.mark.parametrize("before", OTHERWISE, ids="-".join)
def test_however_it_came_to_be(before: dict[str, Any]) -> None:
    plain = _kept({}, before)
    for otherwise in OTHERWISE:
        is_downgraded = otherwise.get("downgraded", False)  # a flag that is set later
        found = _in_one_step(plain, {}, otherwise)
        assert found is None or (not is_downgraded and found == _worked_out({}, otherwise)), otherwise


def test_nearly_all_ends_are_plain() -> None:
    plain = _kept({}, {})
    untold = {"usage": USAGE._replace(upstream_pusd=None)}
    same: list[dict[str, Any]] = [{}, {"generation_id": None}, {"first_byte_s": None}, untold]
    assert all(_in_one_step(plain, answer, {}) for answer in same)
    assert _in_one_step(plain, {}, OTHERWISE[-1])
    streamed = {"streamed": True}
    assert _in_one_step(_kept({}, streamed), {}, streamed)
    assert _in_one_step(PlainEnd(), {}, {}) is None


def test_a_later_attempt_is_worked_out() -> None:
    recorder, status = _recorder({}, {}, _kept({}, {}))
    recorder._past = EarlierAttempts(Reserved(10**12, None))
    assert recorder._settle_plainly(status) is None
    recorder._past = None
    assert recorder._settle_plainly(status) is not None


@pytest.mark.parametrize(("amount_pusd", "raised"), [(None, [(77, 123_456_789)]), (10**12, [])])
def test_a_cost_that_nothing_was_held_for_is_held_at_once(amount_pusd: int | None, raised: list[Any]) -> None:
    plain, found = _kept({}, {"amount_pusd": amount_pusd}), list[tuple[int, int]]()
    recorder, status = _recorder({}, {"amount_pusd": amount_pusd}, plain, found)
    assert recorder._settle_plainly(status) is not None
    assert found == raised
