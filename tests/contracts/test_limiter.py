"""What every Limiter keeps to: the one in memory, and one over SQL that waits in each operation."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.core.limit_kinds import COUNTED, NO_PIECES, PIECES
from proxy.pipeline.admission.limiter import Limiter, MemoryLimiter
from proxy.policy.quota import Amounts, LimitRow, Quota, QuotaBook, SettledRow, scopes_of
from tests.contracts.sql_limiter import SqlLimiter
from tests.support.stand import Stand
from tests.support.stand import stand as run_stand

ZONE = ZoneInfo("Europe/Stockholm")
NOW_MS = 1_764_400_000_000
HOUR_MS = 3_600_000
SCOPES = scopes_of("anna", "family")
BURST = 200
COST = Quota("user:anna", "cost", 1000, "day")

Make = Callable[[], Limiter]


@pytest.fixture(params=["memory", "sql"])
async def limiter(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Limiter]:
    if request.param == "memory":
        yield MemoryLimiter(QuotaBook(ZONE))
        return
    sql = SqlLimiter(tmp_path / "limits.db", ZONE)
    yield sql
    await sql.settled()
    sql.close()


def one(kind: str, amount: int, window: str = "day") -> Quota:
    return Quota("user:anna", kind, amount, "" if kind == "concurrency" else window)


def taking(kind: str, amount: int) -> Amounts:
    """Return a request that takes so much of a kind."""
    if kind in ("requests", "concurrency"):
        return Amounts(0, 0)
    if kind in ("cost", "tokens"):
        return Amounts(amount if kind == "cost" else 0, amount if kind == "tokens" else 0)
    return Amounts(0, 0, pieces=tuple(amount if piece.name == kind else 0 for piece in PIECES))


async def row_of(limiter: Limiter, quota: Quota, now_ms: int = NOW_MS) -> LimitRow:
    (row,) = await limiter.limits((quota,), now_ms)
    return row


@pytest.mark.parametrize(("left_pusd", "is_held"), [(1000, True), (1001, False)])
async def test_it_reserves_freely_where_more_is_left_than_it_needs(
    limiter: Limiter, left_pusd: int, is_held: bool
) -> None:
    assert (
        await limiter.reserve_freely(1, SCOPES, NOW_MS, (400, 0, 1, NO_PIECES), (COST,), (left_pusd, 0, 0, 0))
        is is_held
    )
    row = await row_of(limiter, COST)
    assert (row.reserved, set(limiter.open_ids())) == ((400, {1}) if is_held else (0, set()))


@pytest.mark.parametrize("kind", [*(kind.name for kind in COUNTED), "concurrency"])
async def test_of_a_burst_exactly_as_many_pass_as_there_is_room_for(limiter: Limiter, kind: str) -> None:
    quota = one(kind, 37)
    waits = [limiter.reserve(n, SCOPES, NOW_MS, taking(kind, 1), (quota,)) for n in range(BURST)]
    refusals = [await wait for wait in waits]
    assert sum(refused is None for refused in refusals) == 37
    assert {refused.quota for refused in refusals if refused is not None} == {quota}
    assert len(limiter.open_ids()) == 37
    assert limiter.open_in("user:anna") == limiter.open_in("all") == 37
    assert limiter.open_in("user:bo") == 0


async def test_what_is_settled_counts_in_place_of_what_was_held(limiter: Limiter) -> None:
    for id_, cost_pusd in ((1, 300), (2, 700)):
        assert await limiter.reserve(id_, SCOPES, NOW_MS, Amounts(500, 0), (COST,)) is None
        limiter.settle(id_, "settled", cost_pusd, 0)
    row = await row_of(limiter, COST)
    assert (row.used, row.reserved, row.remaining) == (1000, 0, 0)
    refused = await limiter.reserve(3, SCOPES, NOW_MS, Amounts(1, 0), (COST,))
    assert refused is not None
    assert (refused.used, refused.reserved, refused.needed, refused.only_reservations_in_way) == (1000, 0, 1, False)


async def test_what_is_released_counts_for_nothing(limiter: Limiter) -> None:
    quotas = (COST, one("requests", 2))
    assert await limiter.reserve(1, SCOPES, NOW_MS, Amounts(1000, 0), quotas) is None
    refused = await limiter.reserve(2, SCOPES, NOW_MS, Amounts(1, 0), quotas)
    assert refused is not None
    assert refused.only_reservations_in_way
    await limiter.release(1)
    assert await limiter.reserve(2, SCOPES, NOW_MS, Amounts(1000, 0), quotas) is None
    await limiter.settle(2, "released", None, 0)  # its row exists: it counts as a request
    used = [row.used for row in await limiter.limits(quotas, NOW_MS)]
    assert used == [0, 1]
    assert set(limiter.open_ids()) == set()


async def test_a_raise_is_whole_or_nothing(limiter: Limiter) -> None:
    assert await limiter.reserve(1, SCOPES, NOW_MS, Amounts(600, 0), (COST,)) is None
    assert await limiter.raise_hold(1, Amounts(401, 0), (COST,)) is not None
    assert limiter.held_pusd(1) == 600
    assert await limiter.raise_hold(1, Amounts(400, 0), (COST,)) is None
    assert limiter.held_pusd(1) == 1000
    await limiter.undo_raise(1, Amounts(400, 0))
    row = await row_of(limiter, COST)
    assert (row.used, row.reserved, limiter.held_pusd(1)) == (0, 600, 600)


async def test_what_cost_more_is_held_whatever_the_limits_say(limiter: Limiter) -> None:
    assert await limiter.reserve(1, SCOPES, NOW_MS, Amounts(600, 0), (COST,)) is None
    limiter.raise_to(1, 500)  # it holds more already
    assert limiter.held_pusd(1) == 600
    limiter.raise_to(1, 1500)
    limiter.add_excess(1, 100)
    assert limiter.held_pusd(1) == 1600
    assert (await row_of(limiter, COST)).reserved == 1600
    assert await limiter.headroom_pusd((COST,), NOW_MS) == 0
    limiter.settle(1, "settled", 1600, 0)
    assert (await row_of(limiter, COST)).used == 1600


async def test_pending_holds_on_and_no_longer_runs(limiter: Limiter) -> None:
    quotas = (COST, one("concurrency", 1))
    assert await limiter.reserve(1, SCOPES, NOW_MS, Amounts(600, 0), quotas) is None
    assert await limiter.reserve(2, SCOPES, NOW_MS, Amounts(1, 0), quotas) is not None
    limiter.settle(1, "pending", None, 0)
    assert await limiter.reserve(2, SCOPES, NOW_MS, Amounts(1, 0), quotas) is None
    assert (await row_of(limiter, COST)).reserved == 601


async def test_late_figures_move_what_was_spent(limiter: Limiter) -> None:
    assert await limiter.reserve(1, SCOPES, NOW_MS, Amounts(600, 0), (COST,)) is None
    limiter.settle(1, "settled", 600, 0)
    limiter.adjust(SCOPES, NOW_MS, 150)
    assert (await row_of(limiter, COST)).used == 750
    limiter.adjust(SCOPES, NOW_MS, -350)
    assert (await row_of(limiter, COST)).used == 400
    assert await limiter.headroom_pusd((COST,), NOW_MS) == 600


@pytest.mark.parametrize(("window", "later_ms"), [("hour", HOUR_MS), ("day", 24 * HOUR_MS), ("3h", 4 * HOUR_MS)])
async def test_a_window_begins_anew(limiter: Limiter, window: str, later_ms: int) -> None:
    quota = one("cost", 1000, window)
    assert await limiter.reserve(1, SCOPES, NOW_MS, Amounts(1000, 0), (quota,)) is None
    limiter.settle(1, "settled", 1000, 0)
    assert await limiter.headroom_pusd((quota,), NOW_MS) == 0
    assert await limiter.headroom_pusd((quota,), NOW_MS + later_ms) == 1000
    assert await limiter.headroom_pusd((one("cost", 1000, "total"),), NOW_MS + later_ms) == 0


async def test_every_scope_of_a_request_counts_it(limiter: Limiter) -> None:
    group, everyone = (Quota(scope, "cost", 1000, "month") for scope in ("group:family", "all"))
    assert await limiter.reserve(1, SCOPES, NOW_MS, Amounts(700, 0), ()) is None
    for quota in (group, everyone):
        refused = await limiter.refused(NOW_MS, Amounts(301, 0), (quota,))
        assert refused is not None
        assert refused.quota == quota
    assert await limiter.refused(NOW_MS, Amounts(300, 0), (group, everyone)) is None


async def test_a_use_case_is_followed_from_a_moment_on(limiter: Limiter) -> None:
    quota = Quota("use_case:sms", "cost", 1000, "day")
    assert limiter.scopes_with(SCOPES, "sms") == SCOPES

    async def past(_counted: set[int]) -> tuple[list[SettledRow], list[SettledRow]]:
        scopes = limiter.scopes_with(SCOPES, "sms")
        assert scopes == (*SCOPES, "use_case:sms")  # what is let in meanwhile counts already
        assert await limiter.reserve(1, scopes, NOW_MS, Amounts(50, 0), ()) is None
        return [], [SettledRow(NOW_MS, "anna", "family", 200, 0, 1)]

    await limiter.follow("sms", past)
    row = await row_of(limiter, quota)
    assert (row.used, row.reserved) == (200, 50)


async def test_who_waits_is_woken_by_an_end(limiter: Limiter) -> None:
    assert await limiter.reserve(1, SCOPES, NOW_MS, Amounts(1000, 0), (COST,)) is None
    waiting = asyncio.ensure_future(limiter.changed(30))
    await asyncio.sleep(0)
    limiter.settle(1, "settled", 10, 0)
    await asyncio.wait_for(waiting, 30)
    assert await limiter.reserve(2, SCOPES, NOW_MS, Amounts(990, 0), (COST,)) is None


async def test_who_waits_is_woken_on_demand(limiter: Limiter) -> None:
    limiter.wake()  # nobody waits
    waiting = asyncio.ensure_future(limiter.changed(30))
    await asyncio.sleep(0)
    limiter.wake()
    await asyncio.wait_for(waiting, 30)


async def test_the_one_in_memory_takes_no_turn_of_the_loop() -> None:
    limiter, turns = MemoryLimiter(QuotaBook(ZONE)), list[int]()
    asyncio.get_running_loop().call_soon(turns.append, 1)
    assert await limiter.headroom_pusd((COST,), NOW_MS) == 1000
    assert await limiter.reserve(1, SCOPES, NOW_MS, Amounts(600, 0), (COST,)) is None
    assert await limiter.raise_hold(1, Amounts(100, 0), (COST,)) is None
    await limiter.raise_to(1, 800)
    await limiter.settle(1, "settled", 800, 0)
    assert await limiter.limits((COST,), NOW_MS)
    assert await limiter.reserve_freely(2, SCOPES, NOW_MS, (100, 0, 1, NO_PIECES), (COST,), (200, 0, 0, 0))
    assert turns == []


# Both do the same, whatever comes

QUOTAS = (
    Quota("user:anna", "cost", 900, "day"),
    Quota("user:anna", "cost", 400, "hour", "soft"),
    Quota("group:family", "cost", 1500, "3h"),
    Quota("all", "tokens", 700, "month"),
    Quota("user:anna", "requests", 9, "day"),
    Quota("user:anna", "images", 12, "total"),
    Quota("user:anna", "concurrency", 4, ""),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("reserve", "freely", "settle", "release", "pending", "raise", "excess", "adjust", "later")),
        st.integers(0, 7),
        st.integers(0, 400),
    ),
    max_size=40,
)


async def _step(limiter: Limiter, name: str, id_: int, amount: int, now_ms: int) -> object:
    """Do one step where it makes sense; return what it answered."""
    is_open = id_ in limiter.open_ids()
    if name == "reserve" and not is_open:
        pieces = tuple(amount % 5 for _ in PIECES)
        amounts = Amounts(amount, amount // 2, 1, amount // 3, amount // 4, pieces=pieces)
        refused = await limiter.reserve(id_, SCOPES, now_ms, amounts, QUOTAS)
        return None if refused is None else (refused.quota, refused.used, refused.reserved, refused.needed)
    if name == "freely" and not is_open:
        taken, room = (amount, amount // 2, 1, NO_PIECES), (2 * amount, amount, amount // 3, amount // 4)
        return await limiter.reserve_freely(id_, SCOPES, now_ms, taken, QUOTAS, room)
    if name == "adjust":
        await limiter.adjust(SCOPES, now_ms, amount)
    if not is_open:
        return None
    if name == "settle":
        await limiter.settle(id_, "settled", amount, amount, tuple(1 for _ in PIECES))
    elif name == "release":
        await limiter.release(id_)
    elif name == "pending":
        await limiter.settle(id_, "pending", None, 0)
    elif name == "excess":
        await limiter.add_excess(id_, amount)
    elif name == "raise":
        refused = await limiter.raise_hold(id_, Amounts(amount, amount), QUOTAS)
        return None if refused is None else (refused.quota, refused.used, refused.reserved, refused.needed)
    return None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_both_answer_the_same(steps: list[tuple[str, int, int]], tmp_path_factory: pytest.TempPathFactory) -> None:
    async def compare() -> None:
        memory = MemoryLimiter(QuotaBook(ZONE))
        sql = SqlLimiter(tmp_path_factory.mktemp("limits") / "limits.db", ZONE)
        now_ms = NOW_MS
        begun = Counter[int]()
        try:
            for name, number, amount in steps:
                if name == "later":
                    now_ms += amount * 60_000
                    continue
                if name in ("reserve", "freely") and number + 8 * begun[number] not in memory.open_ids():
                    begun[number] += 1
                id_ = number + 8 * begun[number]  # no id comes twice
                ours = await _step(memory, name, id_, amount, now_ms)
                assert await _step(sql, name, id_, amount, now_ms) == ours, (name, id_, amount)
                rows = [await each.limits(QUOTAS, now_ms) for each in (memory, sql)]
                assert [row[:8] for row in rows[0]] == [row[:8] for row in rows[1]], (name, id_, amount)
                headroom = [await each.headroom_pusd(QUOTAS, now_ms) for each in (memory, sql)]
                assert headroom[0] == headroom[1]
            assert memory.book.audit() == []
        finally:
            await sql.settled()
            sql.close()

    asyncio.run(compare())


# A whole proxy on the one over SQL


async def test_a_proxy_on_it_lets_in_exactly_as_many(tmp_path: Path) -> None:
    limiter = SqlLimiter(tmp_path / "limits.db", ZoneInfo("UTC"))
    more = {"users": {"anna": {"limits": {"requests": "5/day", "cost": "$1/day"}}}}
    async with run_stand(tmp_path, more, limiter_over=lambda _book: limiter) as stand:
        answers = await asyncio.gather(*(stand.chat() for _ in range(12)))
        assert sorted(answer.status for answer in answers) == [200] * 5 + [402] * 7
        rows = await stand.settled(5)
        await limiter.settled()
        assert await _used(stand) == sum(row["cost_pusd"] for row in rows)
        assert set(limiter.open_ids()) == set()
    await limiter.settled()
    limiter.close()


async def _used(stand: Stand) -> int:
    (row,) = await stand.app.services.limiter.limits(
        (Quota("user:anna", "cost", 10**12, "day"),), stand.app.services.clock.now_ms()
    )
    return row.used
