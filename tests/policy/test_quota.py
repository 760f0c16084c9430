"""Quotas hold exactly: against a naive book, at the edges of windows, and through crashes and clock steps."""

import os
import random
from collections.abc import Callable
from zoneinfo import ZoneInfo

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from proxy.core.limit_kinds import NO_PIECES
from proxy.policy.quota import (
    Amounts,
    Hold,
    LimitExceeded,
    Quota,
    QuotaBook,
    QuotaError,
    SettledRow,
    fine_rows,
    scopes_of,
)
from proxy.policy.quota.scope_totals import FINE_HOURS
from proxy.policy.quota.window import HOUR_MS, MINUTE_MS
from tests.policy.quota_model import DAY_MS, START_MS, USERS, ZONES, World, random_quotas, random_step, run_storm

LONG = os.environ.get("TOLLKEEPER_LONG") == "1"
UTC = ZoneInfo("UTC")
ANNA = scopes_of("anna", "family")
NOON = START_MS - START_MS % DAY_MS + DAY_MS // 2


def _book() -> QuotaBook:
    return QuotaBook(UTC)


def _cost(amount: int, window: str = "day", scope: str = "user:anna", mode: str = "hard") -> Quota:
    return Quota(scope, "cost", amount, window, mode)  # type: ignore[arg-type]


def _refused(answer: Hold | LimitExceeded) -> LimitExceeded:
    assert isinstance(answer, LimitExceeded)
    return answer


def test_a_storm_of_random_operations_never_overspends() -> None:
    operations = 1_000_000 if LONG else 15_000
    tally = run_storm(20261121, operations)
    assert tally.operations == operations
    assert tally.overspent_pusd == 0
    assert min(tally.admitted, tally.refused, tally.crashes, tally.clock_steps) > 100


class Quotas(RuleBasedStateMachine):
    """The same world, driven by hypothesis, which shrinks what it finds."""

    @initialize(zone=st.sampled_from(ZONES), seed=st.integers(0, 1 << 30))
    def begin(self, zone: str, seed: int) -> None:
        self.world = World(zone, random_quotas(random.Random(seed)))

    @rule(user=st.sampled_from(USERS), cost=st.integers(0, 1500), tokens=st.integers(0, 1500))
    def request(self, user: tuple[str, str | None], cost: int, tokens: int) -> None:
        self.world.request(user, cost, tokens)

    @precondition(lambda self: any(row.state == "open" for row in self.world.rows.values()))
    @rule(data=st.data(), how=st.sampled_from(["settle", "exceed", "release", "undo", "extend", "hang_up"]))
    def open_row(self, data: st.DataObject, how: str) -> None:
        row = data.draw(st.sampled_from([row for row in self.world.rows.values() if row.state == "open"]))
        if how == "settle":
            self.world.settle(row, data.draw(st.integers(0, row.reserved_pusd)), row.reserved_tokens)
        elif how == "exceed":
            self.world.settle(row, row.reserved_pusd + 7, row.reserved_tokens + 7)
        elif how == "extend":
            self.world.extend(row, data.draw(st.integers(0, 500)), 0, is_written=data.draw(st.booleans()))
        elif how == "hang_up":
            self.world.hang_up(row)
        else:
            self.world.release(row, counts=how == "release")

    @rule(seed=st.integers(0, 1 << 30))
    def clock(self, seed: int) -> None:
        self.world.move_clock(random_step(random.Random(seed), self.world.now_ms))

    @rule(index=st.integers(0, 5), amount=st.integers(0, 5000))
    def edit(self, index: int, amount: int) -> None:
        self.world.edit_limit(index % len(self.world.quotas), amount)

    @rule()
    def crash(self) -> None:
        self.world.crash()

    @invariant()
    def figures_agree(self) -> None:
        if hasattr(self, "world"):
            self.world.check()
            assert self.world.overspent_pusd() <= 0


Quotas.TestCase.settings = settings(
    max_examples=2000 if LONG else 40, stateful_step_count=60 if LONG else 30, deadline=None
)
TestQuotas = Quotas.TestCase


# All or nothing


def test_headroom_for_k_admits_exactly_k() -> None:
    book = _book()
    quotas = [_cost(7 * 100), _cost(10**6, "month", "all")]
    answers = [book.check_and_reserve(i, ANNA, NOON, Amounts(100, 5), quotas) for i in range(500)]
    assert [isinstance(a, Hold) for a in answers] == [True] * 7 + [False] * 493
    for i in range(7):
        book.settle(i, 100, 5)
    assert isinstance(book.check_and_reserve(1000, ANNA, NOON, Amounts(1, 5), quotas), LimitExceeded)


def test_a_refusal_reserves_nothing_anywhere() -> None:
    book = _book()
    quotas = [_cost(1000), _cost(50, "month", "all")]
    book.check_and_reserve(1, ANNA, NOON, Amounts(51, 5), quotas)
    assert book.open_requests() == {}
    assert [row.reserved for row in book.limits_view(quotas, NOON)] == [0, 0]


def test_a_request_ends_exactly_once() -> None:
    book = _book()
    book.check_and_reserve(1, ANNA, NOON, Amounts(10, 5), ())
    with pytest.raises(QuotaError, match="already open"):
        book.check_and_reserve(1, ANNA, NOON, Amounts(10, 5), ())
    book.settle(1, 4, 5)
    ends: list[Callable[[], object]] = [
        lambda: book.settle(1, 4, 5),
        lambda: book.release(1),
        lambda: book.note_excess(1, 3),
        lambda: book.raise_to(1, 3),
    ]
    for end in ends:
        with pytest.raises(QuotaError, match="not open"):
            end()
    assert book.limits_view([_cost(100)], NOON)[0].used == 4


def test_an_excess_is_booked_in_full() -> None:
    book = _book()
    quota = _cost(100)
    book.check_and_reserve(1, ANNA, NOON, Amounts(100, 5), [quota])
    book.note_excess(1, 60)
    assert book.limits_view([quota], NOON)[0].reserved == 160
    book.settle(1, 160, 5)
    row = book.limits_view([quota], NOON)[0]
    assert (row.used, row.reserved, row.remaining) == (160, 0, 0)


@pytest.mark.parametrize("cost_pusd", [0, 99, 100, 101, 160])
@pytest.mark.parametrize("quotas", [[], [_cost(1000)], [_cost(1000), _cost(2000, "month", "all")]])
def test_a_hold_is_raised_by_what_is_missing(cost_pusd: int, quotas: list[Quota]) -> None:
    books = _book(), _book()
    for book in books:
        book.check_and_reserve(1, ANNA, NOON, Amounts(100, 5), quotas)
    books[0].raise_to(1, cost_pusd)
    books[1].note_excess(1, max(0, cost_pusd - 100))
    views = [(book.held_pusd(1), book.limits_view(quotas, NOON), book.audit()) for book in books]
    assert views[0] == views[1]
    assert views[0][0] == max(100, cost_pusd)
    assert views[0][2] == []


def test_a_settlement_above_the_reservation_is_never_cut_down() -> None:
    book = _book()
    quota = _cost(100)
    book.check_and_reserve(1, ANNA, NOON, Amounts(100, 5), [quota])
    book.settle(1, 175, 50)
    row = book.limits_view([quota], NOON)[0]
    assert (row.used, row.reserved, row.remaining) == (175, 0, 0)
    assert book.audit() == []


def test_negative_amounts_are_refused() -> None:
    book = _book()
    with pytest.raises(ValueError, match="below 0"):
        book.check_and_reserve(1, ANNA, NOON, Amounts(-1, 0), ())
    book.check_and_reserve(1, ANNA, NOON, Amounts(1, 0), ())
    with pytest.raises(ValueError, match="below 0"):
        book.settle(1, -1, 0)
    assert list(book.open_requests()) == [1]


def test_a_changed_limit_leaves_what_was_spent_and_a_new_one_sees_it() -> None:
    book = _book()
    book.check_and_reserve(1, ANNA, NOON, Amounts(80, 5), [_cost(100)])
    book.settle(1, 80, 5)
    assert book.headroom_pusd([_cost(90)], NOON) == 10
    assert book.headroom_pusd([_cost(50)], NOON) == 0
    assert book.headroom_pusd([_cost(200, "30d", "group:family")], NOON) == 120
    assert book.headroom_pusd([_cost(200, mode="soft")], NOON) is None


# Which refusal is told


def test_refusals_come_in_their_fixed_order() -> None:
    book = _book()
    quotas = [
        Quota("user:anna", "concurrency", 1, ""),
        Quota("all", "requests", 1, "minute"),
        Quota("user:anna", "tokens", 5, "day"),
        _cost(10, "day"),
        _cost(10, "month", "all"),
        _cost(10, "month"),
    ]
    order = [quotas[5], quotas[4], quotas[3], quotas[2], quotas[1]]
    book.check_and_reserve(1, ANNA, NOON, Amounts(10, 5), quotas)
    book.settle(1, 10, 5)
    book.check_and_reserve(2, ANNA, NOON, Amounts(10, 5), ())
    for dice in range(5):
        random.Random(dice).shuffle(quotas)
        left = list(quotas)
        told = []
        while len(left) > 1:
            refused = _refused(book.check_and_reserve(3, ANNA, NOON, Amounts(1, 1), left))
            told.append(refused.quota)
            left.remove(refused.quota)
        assert told == order


def test_what_waiting_cures_is_told_last_and_marked() -> None:
    book = _book()
    book.check_and_reserve(1, ANNA, NOON, Amounts(60, 5), ())
    book.check_and_reserve(2, ANNA, NOON, Amounts(30, 5), ())
    book.settle(2, 30, 5)
    waits = _refused(book.check_and_reserve(3, ANNA, NOON, Amounts(50, 5), [_cost(100, "month")]))
    assert waits.only_reservations_in_way
    assert (waits.used, waits.reserved, waits.needed) == (30, 60, 50)
    both = _refused(book.check_and_reserve(3, ANNA, NOON, Amounts(50, 5), [_cost(100, "month"), _cost(70)]))
    assert both.quota == _cost(70)
    assert not both.only_reservations_in_way
    assert book.headroom_pusd([_cost(100)], NOON) == 10
    assert book.headroom_pusd([_cost(100)], NOON, ignore_reserved=True) == 70
    book.release(1)
    assert isinstance(book.check_and_reserve(3, ANNA, NOON, Amounts(50, 5), [_cost(100, "month")]), Hold)


@pytest.mark.parametrize(("past_ms", "seconds"), [(0, 60), (1, 60), (1000, 59), (53_001, 7), (59_999, 1)])
def test_retry_after_is_true(past_ms: int, seconds: int) -> None:
    book = _book()
    quota = Quota("user:anna", "requests", 1, "minute")
    book.check_and_reserve(1, ANNA, NOON, Amounts(0, 0), [quota])
    now_ms = NOON + past_ms
    refused = _refused(book.check_and_reserve(2, ANNA, now_ms, Amounts(0, 0), [quota]))
    assert refused.retry_after_s(now_ms) == seconds
    after_ms = now_ms + seconds * 1000
    assert isinstance(book.check_and_reserve(2, ANNA, after_ms, Amounts(0, 0), [quota]), Hold)


def test_concurrency_counts_what_runs() -> None:
    book = _book()
    quota = Quota("user:anna", "concurrency", 2, "")
    for i in (1, 2):
        assert isinstance(book.check_and_reserve(i, ANNA, NOON, Amounts(5, 5), [quota]), Hold)
    refused = _refused(book.check_and_reserve(3, ANNA, NOON, Amounts(5, 5), [quota]))
    assert refused.only_reservations_in_way
    assert refused.retry_after_s(NOON) == 1
    book.stop_running(1)  # the client hung up; its cost is still being looked up
    assert isinstance(book.check_and_reserve(3, ANNA, NOON, Amounts(5, 5), [quota]), Hold)
    book.settle(1, 5, 5)
    assert isinstance(book.check_and_reserve(4, ANNA, NOON, Amounts(5, 5), [quota]), LimitExceeded)


# Modes


def test_a_soft_limit_lets_the_last_request_pass_it() -> None:
    book = _book()
    quota = _cost(100, mode="soft")
    assert isinstance(book.check_and_reserve(1, ANNA, NOON, Amounts(5000, 5, 1, 20), [quota]), Hold)
    assert isinstance(book.check_and_reserve(2, ANNA, NOON, Amounts(5000, 5, 1, 20), [quota]), Hold)
    book.settle(1, 80, 5)
    assert isinstance(book.check_and_reserve(3, ANNA, NOON, Amounts(5000, 5, 1, 20), [quota]), LimitExceeded)
    assert isinstance(book.check_and_reserve(3, ANNA, NOON, Amounts(5000, 5, 1, 19), [quota]), Hold)


def test_a_soft_limit_counts_what_has_ended_and_not_what_is_held() -> None:
    """What ends is added to sums that all scopes share, and to what is settled once somebody asks for that."""
    book, quotas = _book(), (_cost(100, mode="soft"), _cost(1000, "month"))
    room = (0, 0, 0, 0)
    for request_id in (1, 2):
        assert book.reserve_freely(request_id, ANNA, NOON, (90, 5, 1, NO_PIECES), quotas, (90, 5, 0, 0))
    book.settle(1, 60, 5)
    assert book.reserve_freely(3, ANNA, NOON, (90, 5, 1, NO_PIECES), quotas, room)  # 60 of 100, and 180 are held
    book.settle(2, 40, 5)
    assert not book.reserve_freely(4, ANNA, NOON, (0, 0, 1, NO_PIECES), quotas, room)
    _refused(book.check_and_reserve(4, ANNA, NOON, Amounts(1, 0), quotas))
    assert [(row.mode, row.used, row.reserved) for row in book.limits_view(quotas, NOON)] == [
        ("hard", 100, 90),
        ("soft", 100, 90),
    ]
    assert not book.audit()


def test_what_costs_nothing_passes_a_spent_budget() -> None:
    book = _book()
    quotas = [_cost(100), _cost(100, "month", mode="soft")]
    book.check_and_reserve(1, ANNA, NOON, Amounts(100, 5), quotas)
    book.settle(1, 100, 5)
    assert isinstance(book.check_and_reserve(2, ANNA, NOON, Amounts(0, 5), quotas), Hold)


def test_an_unknown_price_is_not_a_price_of_zero() -> None:
    book = _book()
    soft = _cost(100, mode="soft")
    book.check_and_reserve(1, ANNA, NOON, Amounts(100, 5), ())
    book.settle(1, 100, 5)
    unknown = Amounts(0, 5, is_priced=False)
    assert isinstance(book.check_and_reserve(2, ANNA, NOON, unknown, [soft]), LimitExceeded)
    with pytest.raises(QuotaError, match="without a price"):
        book.check_and_reserve(2, ANNA, NOON, unknown, [_cost(10**9)])


# Windows in use


def test_a_stream_over_midnight_belongs_to_its_start() -> None:
    book = _book()
    quota = _cost(100)
    midnight = NOON + DAY_MS // 2
    book.check_and_reserve(1, ANNA, midnight - 1, Amounts(100, 5), [quota])
    assert book.headroom_pusd([quota], midnight - 1) == 0
    assert book.headroom_pusd([quota], midnight) == 100
    book.settle(1, 90, 5)
    assert book.headroom_pusd([quota], midnight) == 100
    assert book.headroom_pusd([quota], midnight - 1) == 10


def test_an_hour_s_first_request_does_not_fold_the_totals_of_everybody() -> None:
    """Each scope is folded once in its turn, over hours with few requests too, and nothing is counted otherwise."""
    book, users = _book(), [f"u{n}" for n in range(40)]
    scopes = {user: scopes_of(user, None) for user in users}
    for minute in range(3):
        for n, user in enumerate(users):
            held = book.check_and_reserve((minute, n), scopes[user], NOON + minute * MINUTE_MS, Amounts(5, 1), ())
            assert isinstance(held, Hold)
            book.settle((minute, n), 5, 1)
    later_ms = NOON + (FINE_HOURS + 2) * HOUR_MS
    seen = list[int]()
    for n in range(12):  # the first hour has one request, the next one all others
        at_ms = later_ms + (HOUR_MS if n else 0)
        before = {scope for scope, totals in book._scopes.items() if totals.folded_ms > NOON}
        book.check_and_reserve(("later", n), scopes["u0"], at_ms, Amounts(1, 1), ())
        now = {scope for scope, totals in book._scopes.items() if totals.folded_ms > NOON}
        assert before <= now
        seen.append(len(now) - len(before))
    assert seen[:6] == [8, 8, 8, 8, 8, 1]  # and all
    assert book._fold_due_ms == later_ms + 2 * HOUR_MS
    assert book.audit() == []
    for user in users[1:]:
        assert book.headroom_pusd([_cost(100, "total", f"user:{user}")], later_ms) == 85


def test_a_rolling_window_gives_back_hour_by_hour() -> None:
    book = _book()
    quota = _cost(100, "3h")
    book.check_and_reserve(1, ANNA, NOON + 59 * MINUTE_MS, Amounts(100, 5), [quota])
    book.settle(1, 100, 5)
    refused = _refused(book.check_and_reserve(2, ANNA, NOON + 2 * HOUR_MS, Amounts(1, 5), [quota]))
    assert refused.resets_at_ms == NOON + 4 * HOUR_MS
    assert book.headroom_pusd([quota], NOON + 4 * HOUR_MS - 1) == 0
    assert book.headroom_pusd([quota], NOON + 4 * HOUR_MS) == 100


def test_totals_outlive_the_buckets() -> None:
    book = QuotaBook(ZoneInfo("Asia/Kathmandu"), horizon_days=40)
    quotas = [_cost(10**9, "total"), _cost(10**9, "30d"), _cost(10**9, "month")]
    for hour in range(24 * 60):
        now_ms = NOON + hour * HOUR_MS + 7 * MINUTE_MS
        book.check_and_reserve(hour, ANNA, now_ms, Amounts(10, 1), quotas)
        book.settle(hour, 10, 1)
    view = {row.window: row.used for row in book.limits_view(quotas, now_ms)}
    assert view["total"] == 24 * 60 * 10
    assert view["30d"] == (24 * 30 + 1) * 10
    assert book.audit() == []
    totals = book._scope("user:anna")
    buckets = len(totals._minutes) + len(totals._quarters) + len(totals._hours)
    assert buckets <= 24 * 40 + FINE_HOURS + 2 * 40


def test_a_leap_of_the_clock_and_back_frees_nothing() -> None:
    book = QuotaBook(UTC, horizon_days=40)
    quotas = [_cost(100), _cost(100, "month"), _cost(100, "3h"), _cost(100, "minute")]
    book.check_and_reserve(1, ANNA, NOON, Amounts(100, 5), quotas)
    book.settle(1, 100, 5)
    for leap_ms in (3 * DAY_MS, 90 * DAY_MS):
        book.check_and_reserve(leap_ms, ANNA, NOON + leap_ms, Amounts(1, 5), ())
        book.settle(leap_ms, 1, 1)
        book.limits_view(quotas, NOON + leap_ms)  # other windows take the place of those in use
        assert book.headroom_pusd(quotas, NOON) == 0
        for quota in quotas:
            assert book.headroom_pusd([quota], NOON) == 0


# Rebuilding


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "Pacific/Chatham"])
def test_a_rebuilt_book_equals_the_running_one(zone: str) -> None:
    dice = random.Random(zone)
    running, rows = QuotaBook(ZoneInfo(zone)), []
    now_ms = NOON
    for number in range(2000):
        now_ms += dice.randrange(60 * MINUTE_MS)
        user, group = dice.choice(USERS)
        cost, tokens = dice.randrange(100), dice.randrange(100)
        running.check_and_reserve(number, scopes_of(user, group), now_ms, Amounts(100, 100), ())
        if number >= 1995:
            continue
        running.settle(number, cost, tokens)
        rows.append(SettledRow(now_ms, user, group, cost, tokens, 1))
    fine = fine_rows(now_ms, ZoneInfo(zone))
    rebuilt = QuotaBook(ZoneInfo(zone))
    rebuilt.load_rows(row for row in rows if fine.covers(row.at_ms))
    rebuilt.load_hours(
        row._replace(at_ms=row.at_ms - row.at_ms % HOUR_MS) for row in rows if not fine.covers(row.at_ms)
    )
    for request_id, held in running.open_requests().items():
        scopes = tuple(totals.scope for totals in held.scopes.all)
        rebuilt.load_open(request_id, scopes, held.started_ms, held.cost_pusd, held.tokens)
    quotas = [
        Quota(scope, kind, 1000, window)
        for scope in ("user:anna", "user:ci", "group:family", "all")
        for kind in ("cost", "tokens", "requests")
        for window in ("minute", "hour", "day", "week", "month", "total", "5h", "30d", "366d")
    ]
    assert rebuilt.limits_view(quotas, now_ms) == running.limits_view(quotas, now_ms)
    assert rebuilt.limits_view(quotas, now_ms + HOUR_MS) == running.limits_view(quotas, now_ms + HOUR_MS)
    assert rebuilt.audit() == running.audit() == []


def test_what_two_users_share_moves_for_both() -> None:
    book = _book()
    ben = scopes_of("ben", "family")
    shared = _cost(100, "hour", "group:family")
    limits = {ANNA: (shared, _cost(10**6)), ben: (shared, _cost(10**6, scope="user:ben"))}

    def leaves(scopes: tuple[str, ...], now_ms: int) -> int | None:
        return book.headroom_pusd(limits[scopes], now_ms)

    book.check_and_reserve(1, ANNA, NOON, Amounts(40, 0), limits[ANNA])
    assert leaves(ANNA, NOON) == leaves(ben, NOON) == 60
    later_ms = NOON + HOUR_MS
    assert leaves(ANNA, later_ms) == 100  # the window of the next hour, for both
    book.settle(1, 30, 0)  # in that of before
    book.check_and_reserve(2, ben, later_ms, Amounts(10, 0), limits[ben])
    assert leaves(ANNA, later_ms) == leaves(ben, later_ms) == 90
    assert leaves(ANNA, NOON) == leaves(ben, NOON) == 70
    book.settle(2, 5, 0)
    assert leaves(ANNA, later_ms) == leaves(ben, later_ms) == 95
    assert book.audit() == []


def test_a_limit_that_comes_late_counts_what_nobody_has_looked_at() -> None:
    book = _book()
    ben = scopes_of("ben", "family")
    for request_id, (scopes, at_ms) in enumerate([(ANNA, NOON), (ANNA, NOON + MINUTE_MS), (ben, NOON), (ben, NOON)]):
        book.check_and_reserve(request_id, scopes, at_ms, Amounts(10, 5), ())
        book.settle(request_id, 7, 3)
    for request_id in (8, 9):
        book.check_and_reserve(request_id, ANNA, NOON, Amounts(10, 5), ())
    book.stop_running(9)
    shared = [_cost(100, scope="group:family"), Quota("group:family", "concurrency", 3, "")]
    assert [(row.used, row.reserved) for row in book.limits_view(shared, NOON)] == [(28, 20), (0, 1)]
    assert [row.used for row in book.limits_view([_cost(100, "minute", "group:family")], NOON)] == [21]
    book.check_and_reserve(10, ben, NOON, Amounts(10, 5), shared)
    book.settle(8, 6, 3)
    book.release(9)
    assert [(row.used, row.reserved) for row in book.limits_view(shared, NOON)] == [(34, 10), (0, 1)]
    (own,) = book.limits_view([Quota("user:anna", "requests", 9, "total")], NOON)
    assert (own.used, own.reserved) == (4, 0)
    assert book.audit() == []


def test_of_equal_limits_the_first_is_told() -> None:
    book = _book()
    quotas = [_cost(100, "total"), _cost(100), _cost(100, "day", "group:family"), _cost(100, "month", mode="soft")]
    book.check_and_reserve(1, ANNA, NOON, Amounts(40, 0), quotas)
    ((limit, left),) = book.tightest(quotas, NOON)
    assert (limit.quota, left) == (_cost(100, "total"), 60)
    book.note_excess(1, 100)
    ((limit, left),) = book.tightest(quotas, NOON)
    assert (limit.quota, left) == (_cost(100, "total"), 0)


def test_a_window_of_no_limit_is_forgotten_once_it_is_over() -> None:
    book = _book()
    book.check_and_reserve(1, ANNA, NOON, Amounts(40, 0), [_cost(100, "minute"), _cost(1000)])
    later_ms = NOON + MINUTE_MS
    for request_id in (2, 3):
        book.check_and_reserve(request_id, ANNA, later_ms, Amounts(5, 0), [_cost(1000)])
    totals = book._scope("user:anna")
    assert [*totals.windows] == ["day"]
    moves = totals.moves
    book.check_and_reserve(4, ANNA, later_ms, Amounts(5, 0), [_cost(1000)])
    assert totals.moves == moves  # each request counts in all windows again
    book.settle(1, 30, 0)
    assert [row.used for row in book.limits_view([_cost(100, "minute"), _cost(1000)], NOON)] == [30, 30]
    assert book.audit() == []


def test_it_admits_freely_as_far_as_every_limit_leaves_room() -> None:
    book = _book()
    quotas = (_cost(100), Quota("user:anna", "tokens", 50, "day"), Quota("all", "requests", 4, "day"))
    soft = (_cost(30, "month", mode="soft"), Quota("user:anna", "concurrency", 3, ""))

    def admits(
        request_id: int, limits: tuple[Quota, ...], likely_pusd: int = 0, left: tuple[int, int] = (0, 0)
    ) -> bool:
        return book.reserve_freely(request_id, ANNA, NOON, (10, 5, 1, NO_PIECES), limits, (*left, likely_pusd, 0))

    assert not admits(1, quotas, left=(101, 5))
    assert not admits(1, quotas, left=(10, 51))
    assert admits(1, quotas, left=(100, 50))
    assert not admits(2, quotas, left=(91, 5))
    assert admits(2, quotas, left=(90, 45))
    assert not admits(3, soft, likely_pusd=30)
    assert admits(3, soft, likely_pusd=29)
    assert not admits(4, soft)  # three are open
    book.settle(1, 5, 5)
    assert admits(4, soft)
    assert not admits(5, quotas, left=(10, 5))  # the fifth request
    with pytest.raises(QuotaError):
        admits(4, ())
    assert [row.reserved for row in book.limits_view(quotas[:2], NOON)] == [30, 15]
    assert book.audit() == []


def test_the_audit_sees_a_wrong_total() -> None:
    book = _book()
    book.check_and_reserve(1, ANNA, NOON, Amounts(10, 5), [_cost(100)])
    assert book.audit() == []
    book._scope("user:anna").windows["day"].taken_outside[0] -= 1
    assert len(book.audit()) == 1
