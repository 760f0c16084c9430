"""What is set aside for a request, and how long its answer may be: by price, budget, token limits, the user's own."""

import asyncio
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from proxy.config.schema import Settings
from proxy.core.errors import CallerError
from proxy.pipeline.admission.admit import Admission, AdmissionRefused, AdmissionRequest, admit
from proxy.pipeline.admission.limiter import MemoryLimiter
from proxy.pipeline.identity.directory import build_directory
from proxy.pipeline.snapshot import Snapshot, routing_of
from proxy.pipeline.values.allowance import Allowance
from proxy.policy.host import Hosts
from proxy.policy.pricing import BodyFacts, Price, read_facts
from proxy.policy.quota import Quota, QuotaBook
from tests.policy.made_price import price_from_config

NOW_MS = 1_793_539_200_000
PRICE = price_from_config(input="1", output="2", context_tokens=10_000, output_max_tokens=1_000)  # USD a million tokens
INPUT_PUSD, OUTPUT_PUSD = 1_000_000, 2_000_000  # a token
DEAR = price_from_config(input="10", output="20", context_tokens=10_000, output_max_tokens=500)
COST, TOKENS = "cost", "tokens"
BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
SIZE_BYTES = 100


def snapshot(**quotas: Any) -> Snapshot:
    settings = Settings.read({"providers": {"openrouter": {"api_key": "sk-x"}}, "quotas": quotas})
    zone = ZoneInfo("UTC")
    return Snapshot(settings, build_directory(settings, [], [], {}), {}, {}, Hosts(), zone, routing_of(settings))


def allowance(*quotas: Quota, max_tokens: int | None = None) -> Allowance:
    hard = {quota.kind for quota in quotas if quota.mode == "hard"}
    soft = any(quota.mode == "soft" and quota.kind in (COST, TOKENS) for quota in quotas)
    tokens = any(quota.kind == TOKENS for quota in quotas)
    return Allowance(("user:anna", "all"), quotas, None, max_tokens, COST in hard, tokens, TOKENS in hard, soft)


def cost(amount_pusd: int, mode: Any = "hard") -> Quota:
    return Quota("user:anna", "cost", amount_pusd, "day", mode)


def tokens(amount: int) -> Quota:
    return Quota("user:anna", "tokens", amount, "day")


def facts(**fields: Any) -> BodyFacts:
    return read_facts({**BODY, **fields}, SIZE_BYTES)


class Counter:
    """One book, to which requests come one after the other."""

    def __init__(self, **quotas: Any) -> None:
        self.limiter = MemoryLimiter(QuotaBook(ZoneInfo("UTC")))
        self._snapshot = snapshot(**quotas)
        self._id = 0

    def ask(
        self, allowed: Allowance, wanted: BodyFacts, prices: tuple[Price, ...] | None = (PRICE,)
    ) -> Admission | AdmissionRefused:
        self._id += 1
        asked = AdmissionRequest(self._id, NOW_MS, allowed, wanted, prices)
        return asyncio.run(admit(asked, self.limiter, self._snapshot))

    def admitted(
        self, allowed: Allowance, wanted: BodyFacts, prices: tuple[Price, ...] | None = (PRICE,)
    ) -> tuple[int | None, int | None, int | None, bool]:
        found = self.ask(allowed, wanted, prices)
        assert isinstance(found, Admission), found
        return found.amount_pusd, found.tokens, found.max_tokens, found.lowered

    def refused(
        self, allowed: Allowance, wanted: BodyFacts, prices: tuple[Price, ...] | None = (PRICE,)
    ) -> AdmissionRefused:
        found = self.ask(allowed, wanted, prices)
        assert isinstance(found, AdmissionRefused), found
        return found

    @property
    def held(self) -> list[int]:
        quotas = [cost(0), tokens(0), Quota("all", "requests", 0, "day")]
        return [row.reserved for row in self.limiter.book.limits_view(quotas, NOW_MS)]


def test_without_limits_the_worst_case_is_noted_and_nothing_lowered() -> None:
    """It stands in the row, so that a crash leaves an amount; the body stays as it came."""
    amount_pusd, counted, max_tokens, lowered = Counter().admitted(allowance(), facts(max_tokens=300))
    assert amount_pusd is not None
    assert amount_pusd > SIZE_BYTES * INPUT_PUSD // 4 + 300 * OUTPUT_PUSD
    assert (counted, max_tokens, lowered) == (None, None, False)
    assert Counter().admitted(allowance(), facts(), prices=None) == (None, None, None, False)


def test_the_worst_case_is_that_of_the_dearest_target() -> None:
    alone = Counter().admitted(allowance(), facts(max_tokens=300), (DEAR,))
    assert Counter().admitted(allowance(), facts(max_tokens=300), (PRICE, DEAR)) == alone
    assert alone > Counter().admitted(allowance(), facts(max_tokens=300))


def test_canned_answers_hold_no_money() -> None:
    assert Counter().admitted(allowance(cost(0)), facts(), prices=()) == (0, None, None, False)
    assert Counter().admitted(allowance(tokens(9)), facts(), prices=()) == (0, 0, None, False)


def test_what_was_let_in_is_held() -> None:
    counter = Counter()
    amount_pusd, counted, _, _ = counter.admitted(allowance(cost(10**12), tokens(10**6)), facts(max_tokens=300))
    assert counter.held == [amount_pusd, counted, 1]
    assert counted is not None
    assert counted >= 300 + SIZE_BYTES // 4


def test_an_answer_is_shortened_to_what_the_budget_pays() -> None:
    counter = Counter()
    full = counter.admitted(allowance(cost(10**12)), facts(max_tokens=900))
    assert full[2:] == (900, False)  # written out, so that no provider takes a bound of its own
    assert full[0] is not None
    short = Counter().admitted(allowance(cost(full[0] - 1)), facts(max_tokens=900))
    assert short[3]
    assert short[2] is not None
    assert 256 <= short[2] < 900
    assert short[0] is not None
    assert short[0] < full[0]
    wanted = allowance(cost(full[0] - 1))
    refused = Counter(on_over_budget="refuse").refused(wanted, facts(max_tokens=900))
    assert (refused.error.status, refused.waiting_helps) == (402, False)


def test_nothing_is_cut_below_what_is_worth_having() -> None:
    """256 tokens, or as few as were asked for; where not even those are paid for the limit refuses."""
    counter, little = Counter(), cost(SIZE_BYTES * INPUT_PUSD)
    refused = counter.refused(allowance(little), facts(max_tokens=900))
    assert refused.error.status == 402
    assert counter.held == [0, 0, 0]
    assert not counter.refused(allowance(little), facts(max_tokens=900)).waiting_helps


def test_waiting_helps_where_open_requests_hold_what_is_missing() -> None:
    counter = Counter()
    first = counter.ask(allowance(cost(10**12)), facts(max_tokens=900))
    assert isinstance(first, Admission)
    assert first.amount_pusd is not None
    limit = allowance(cost(first.amount_pusd + 1000))
    assert counter.refused(limit, facts(max_tokens=900)).waiting_helps
    counter.limiter.settle(1, "settled", first.amount_pusd, 10)
    assert not counter.refused(limit, facts(max_tokens=900)).waiting_helps


def test_a_soft_limit_holds_what_is_likely_not_the_worst_case() -> None:
    """The answer keeps its length; where the money is spent already the limit refuses."""
    counter, limit = Counter(), allowance(cost(950 * OUTPUT_PUSD, "soft"))
    amount_pusd, _, max_tokens, lowered = counter.admitted(limit, facts(max_tokens=900))
    assert amount_pusd is not None
    assert amount_pusd > 950 * OUTPUT_PUSD
    assert (max_tokens, lowered) == (None, False)
    counter.limiter.settle(1, "settled", 950 * OUTPUT_PUSD, 10)
    assert counter.refused(limit, facts(max_tokens=900)).error.status == 402


def test_token_limits_shorten_too() -> None:
    """One request takes at most half of the tokens that are left."""
    _, counted, max_tokens, lowered = Counter().admitted(allowance(tokens(2_000)), facts(), prices=None)
    assert lowered
    assert max_tokens is not None
    assert 256 <= max_tokens <= 1_000
    assert counted is not None
    assert counted <= 2_000
    assert Counter(on_over_budget="refuse").refused(allowance(tokens(1_200)), facts(max_tokens=900)).error.status == 402


@pytest.mark.parametrize(
    ("asked", "own", "sent"),
    [(900, 500, 500), (300, 500, None), (None, 500, 500), (None, 1_000, None), (900, 3, 3)],
)
def test_the_users_own_maximum(asked: int | None, own: int, sent: int | None) -> None:
    wanted = facts() if asked is None else facts(max_tokens=asked)
    assert Counter().admitted(allowance(max_tokens=own), wanted)[2:] == (sent, sent is not None)


def test_a_thinking_budget_that_the_users_maximum_has_no_room_for() -> None:
    wanted = replace(facts(max_tokens=5_000), min_output_tokens=2_001)
    with pytest.raises(CallerError) as caught:
        Counter().ask(allowance(max_tokens=500), wanted)
    assert caught.value.status == 400
    assert "2000" in caught.value.message


def test_without_a_bound_there_is_no_hard_limit_on_cost() -> None:
    endless = price_from_config(input="1", output="2")
    with pytest.raises(CallerError):
        Counter().ask(allowance(cost(10**12)), facts(), (endless,))
    assert Counter().admitted(allowance(), facts(), (endless,)) == (None, None, None, False)


def test_more_than_a_row_can_hold() -> None:
    golden = price_from_config(input="1", output="1000", request="9223372", context_tokens=10_000)
    with pytest.raises(CallerError) as caught:
        Counter().ask(allowance(), facts(max_tokens=1_000), (golden,))
    assert caught.value.status == 400
