"""A book of quotas beside a naive one that keeps every row and sums them all each time; both must agree.

run_storm(seed, operations) drives them with random requests, late costs, crashes, limit edits and clock steps. It is
called by the tests and by long runs; the same seed gives the same run.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from proxy.core.limit_kinds import NO_PIECES
from proxy.policy.quota import (
    NOT_KNOWN,
    Amounts,
    Hold,
    LimitExceeded,
    ModelAnswer,
    Quota,
    QuotaBook,
    SettledRow,
    fine_rows,
    joined,
    refusal_order,
    scopes_of,
)
from proxy.policy.quota.window import HOUR_MS, MINUTE_MS, rolling_hours

ZONES = ("UTC", "Europe/Stockholm", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe")
USERS = (("anna", "family"), ("ben", "family"), ("ci", None))
SCOPES = ("user:anna", "user:ben", "user:ci", "group:family", "group:home", "group:town", "group:abroad", "all")
ABOVE = ("home town", "home town", "abroad", None)  # what may be above the family
MODELS = ("a/one", "a/two", "b/one")
SETS = {("a/*",): {"a/one", "a/two"}, ("*/one",): {"a/one", "b/one"}, ("b/one", "b/two"): {"b/one"}}
"""Sets of models by their patterns, and what is in them, worked out by hand."""
WINDOWS = ("minute", "hour", "day", "week", "month", "total", "3h", "2d", "30d")
START_MS = 1_792_900_000_000  # five days before European clocks go back
DAY_MS = 24 * HOUR_MS
EPISODE = 250  # operations on one world; the naive book sums all its rows for each of them


@dataclass(eq=False)
class Row:
    """One request as the ledger has it."""

    id: int
    user: str
    group: str | None
    at_ms: int
    reserved_pusd: int
    reserved_tokens: int
    state: str = "open"
    cost_pusd: int = 0
    tokens: int = 0
    counts: int = 1
    running: bool = True
    excess_pusd: int = 0  # over what it was held, or booked, at while others were let in
    least_pusd: int = 0  # of an ended one: the least that it was ever booked at
    keys: dict[str, object] = field(default_factory=dict)
    above: str | None = None
    models: tuple[str, ...] = MODELS[:1]  # that may answer, or that may be paid for
    asked: tuple[str, ...] = MODELS[:1]

    def scopes(self) -> tuple[str, ...]:
        return scopes_of(self.user, self.group, None, self.above)

    def is_in(self, quota: Quota) -> bool:
        """Tell whether a limit counts it."""
        named = self.scopes()
        is_of_models = not quota.models or not self.models or bool(SETS[quota.models] & {*self.models})
        return quota.scope in named and is_of_models

    def was_expected_in(self, quota: Quota) -> bool:
        """Tell whether it was held against a limit: what answered by surprise is not, and may pass it."""
        return not quota.models or bool(SETS[quota.models] & {*self.asked})

    def answer(self) -> ModelAnswer:
        """Give what decides in which sets it counts."""
        if not self.models:
            return NOT_KNOWN
        provider, _, model = self.models[0].partition("/")
        return ModelAnswer(provider, model, joined(self.models[1:]))


class Tally(NamedTuple):
    """What a storm did. overspent_pusd is what was settled above limits without a row that explains it."""

    operations: int
    admitted: int
    refused: int
    crashes: int
    clock_steps: int
    overspent_pusd: int


class World:
    """The book under test and the naive rows; every operation is done to both and compared."""

    def __init__(self, zone: str, quotas: list[Quota], start_ms: int = START_MS) -> None:
        self.zone = ZoneInfo(zone)
        self.quotas = quotas
        self.greatest = {_identity(q): q.amount for q in quotas}
        self.now_ms = start_ms
        self.latest_ms = start_ms
        self.exact_from_ms = 0  # before it the book may count too much: minutes were folded into hours
        self.book = self._empty()
        self.above: str | None = ABOVE[0]
        self.rows: dict[int, Row] = {}
        self.admitted = self.refused = self.crashes = self.clock_steps = 0

    # What happens

    def request(
        self, user: tuple[str, str | None], cost_pusd: int, tokens: int, models: tuple[str, ...] = MODELS[:1]
    ) -> int | None:
        name, group = user
        row = Row(len(self.rows), name, group, self.now_ms, cost_pusd, tokens)
        row.above, row.models, row.asked = self.above if group is not None else None, models, models
        places = tuple((provider, model) for provider, _, model in (one.partition("/") for one in models))
        scopes = self.book.with_models(row.scopes(), places)
        quotas = [q for q in self.quotas if row.is_in(q)]
        amounts = Amounts(cost_pusd, tokens, 1, cost_pusd // 2, tokens // 2)
        request_id = len(self.rows)
        self._checked()
        answer = self.book.check_and_reserve(request_id, scopes, self.now_ms, amounts, quotas)
        if self._agrees(answer, self.now_ms, amounts, quotas, new=True):
            self.rows[request_id] = row
            self.admitted += 1
            return request_id
        self.refused += 1
        return None

    def extend(self, row: Row, cost_pusd: int, tokens: int, *, is_written: bool = True) -> None:
        quotas = [q for q in self.quotas if row.is_in(q)]
        amounts = Amounts(cost_pusd, tokens, 0, cost_pusd, tokens)
        answer = self.book.extend(row.id, amounts, quotas)
        if not self._agrees(answer, row.at_ms, amounts, quotas, new=False):
            return
        if not is_written:
            self.book.take_back(row.id, amounts)
        else:
            row.reserved_pusd += cost_pusd
            row.reserved_tokens += tokens

    def settle(self, row: Row, cost_pusd: int, tokens: int, models: tuple[str, ...] | None = None) -> None:
        """End a request; models: those that may have been paid for, none where that is not known."""
        if cost_pusd > row.reserved_pusd:
            row.excess_pusd = cost_pusd - row.reserved_pusd
            self.book.note_excess(row.id, row.excess_pusd)
        row.state, row.cost_pusd, row.tokens, row.running = "settled", cost_pusd, tokens, False
        row.least_pusd = min(cost_pusd, row.reserved_pusd)
        if models is not None:
            row.models = models
        self.book.settle(row.id, cost_pusd, tokens, NO_PIECES, row.answer())

    def correct(self, row: Row, cost_pusd: int) -> None:
        """Book an ended request at what it cost after all."""
        self.book.adjust(row.scopes(), row.at_ms, cost_pusd - row.cost_pusd, row.answer())
        row.cost_pusd, row.least_pusd = cost_pusd, min(row.least_pusd, cost_pusd)
        row.excess_pusd = cost_pusd - row.least_pusd

    def release(self, row: Row, *, counts: bool) -> None:
        row.state, row.counts, row.running = "released", int(counts), False
        self.book.release(row.id, row.answer(), counts=counts)

    def hang_up(self, row: Row) -> None:
        row.running = False
        self.book.stop_running(row.id)

    def move_clock(self, to_ms: int) -> None:
        self.now_ms = max(to_ms, START_MS - 60 * DAY_MS)
        self.clock_steps += 1

    def edit_limit(self, index: int, amount: int) -> None:
        quota = self.quotas[index]._replace(amount=amount)
        self.quotas[index] = quota
        identity = _identity(quota)
        self.greatest[identity] = max(self.greatest[identity], amount)

    def crash(self) -> None:
        """Lose the book; build it again from the rows, as a start does."""
        self.crashes += 1
        fine = fine_rows(self.now_ms, self.zone)
        before = self.book.limits_view(self.quotas, self.now_ms)
        book = self._empty()
        ended = [row for row in self.rows.values() if row.state != "open"]
        rows = _settled(ended)
        book.load_rows(row for row in rows if fine.covers(row.at_ms))
        book.load_hours(_by_hour([row for row in rows if not fine.covers(row.at_ms)]))
        for patterns, inside in SETS.items():
            rows = _settled([row for row in ended if not row.models or inside & {*row.models}])
            hours = _by_hour([row for row in rows if not fine.covers(row.at_ms)])
            book.load_models(patterns, hours, [row for row in rows if fine.covers(row.at_ms)])
        running = 0
        for row in self.rows.values():
            if row.state == "open":
                running += row.running
                row.running = False
                scopes = book.with_answer(row.scopes(), row.answer())
                book.load_open(row.id, scopes, row.at_ms, row.reserved_pusd, row.reserved_tokens)
        self.book = book
        exact = self.now_ms >= self.exact_from_ms
        self.exact_from_ms = fine.since_ms + HOUR_MS
        after = book.limits_view(self.quotas, self.now_ms)
        if exact:
            lasting = [row._replace(resets_at_ms=None) for row in before if row.kind != "concurrency"]
            assert [row._replace(resets_at_ms=None) for row in after if row.kind != "concurrency"] == lasting

    def _empty(self) -> QuotaBook:
        """Give a book that keeps totals of all sets."""
        book = QuotaBook(self.zone)
        for patterns in SETS:
            book.open_models(patterns)
            book.load_models(patterns, (), ())
        return book

    # What must hold

    def check(self) -> None:
        """Hold all figures of the book against sums over all rows."""
        exact = self.now_ms >= self.exact_from_ms
        for view in self.book.limits_view(self.quotas, self.now_ms):
            quota = Quota(view.scope, view.kind, view.limit, view.window, view.mode, view.models)
            used, reserved = self._sums(quota, self.now_ms)
            if exact or quota.window not in ("minute", "hour"):
                assert (view.used, view.reserved) == (used, reserved), quota
            else:
                assert view.used >= used
                assert view.reserved >= reserved
            assert view.remaining == max(0, view.limit - view.used - view.reserved)
            assert view.resets_at_ms is None or view.resets_at_ms > self.now_ms
        hard = [q.amount - sum(self._sums(q, self.now_ms)) for q in self.quotas if q[1] == "cost" and q.mode == "hard"]
        headroom = self.book.headroom_pusd(self.quotas, self.now_ms)
        if exact:
            assert headroom == (max(0, min(hard)) if hard else None)
        faults = self.book.audit()
        if self.latest_ms == self.now_ms and exact:
            assert faults == []

    def overspent_pusd(self) -> int:
        """Give what the hard cost limits were passed by, in any window, beyond what late bills explain."""
        worst = 0
        for quota in self.quotas:
            if quota.kind != "cost" or quota.mode != "hard":
                continue
            rows = [r for r in self.rows.values() if r.is_in(quota) and r.was_expected_in(quota)]
            for at_ms in {r.at_ms for r in rows}:
                inside = [r for r in rows if self._inside(r, quota.window, at_ms, closed=True)]
                explained = sum(r.excess_pusd for r in inside)
                worst = max(worst, sum(r.cost_pusd for r in inside) - explained - self.greatest[_identity(quota)])
        return worst

    # The naive book

    def _checked(self) -> None:
        self.latest_ms = max(self.latest_ms, self.now_ms)
        self.exact_from_ms = max(self.exact_from_ms, self.latest_ms - 46 * HOUR_MS)

    def _agrees(
        self, answer: Hold | LimitExceeded, at_ms: int, amounts: Amounts, quotas: list[Quota], *, new: bool
    ) -> bool:
        expected = self._expected(at_ms, amounts, quotas, new=new)
        if at_ms < self.exact_from_ms:
            if isinstance(answer, Hold):
                assert not expected
            return isinstance(answer, Hold)
        if isinstance(answer, Hold):
            assert not expected, expected
            return True
        assert expected, answer
        quota, used, reserved, waits = min(expected, key=lambda e: (e[3], refusal_order(e[0])))
        assert (answer.quota, answer.reserved, answer.only_reservations_in_way) == (quota, reserved, waits)
        assert answer.used == used
        assert 1 <= answer.retry_after_s(at_ms) <= 60
        return False

    def _expected(
        self, at_ms: int, amounts: Amounts, quotas: list[Quota], *, new: bool
    ) -> list[tuple[Quota, int, int, bool]]:
        refusals = []
        for quota in quotas:
            used, reserved = self._sums(quota, at_ms)
            if quota.kind == "concurrency":
                if new and reserved + 1 > quota.amount:
                    refusals.append((quota, 0, reserved, True))
                continue
            needed = {"cost": amounts[0], "tokens": amounts[1], "requests": amounts[2]}[quota.kind]
            if not needed:
                continue
            if quota.mode == "hard" or quota.kind == "requests":
                if used + reserved + needed > quota.amount:
                    refusals.append((quota, used, reserved, quota.kind != "requests" and used + needed <= quota.amount))
            elif used + (amounts[3] if quota.kind == "cost" else amounts[4]) >= quota.amount:
                refusals.append((quota, used, reserved, False))
        return refusals

    def _sums(self, quota: Quota, at_ms: int) -> tuple[int, int]:
        used = reserved = 0
        for row in self.rows.values():
            if not row.is_in(quota):
                continue
            if quota.kind == "concurrency":
                reserved += row.running
            elif self._inside(row, quota.window, at_ms):
                is_open = row.state == "open"
                if quota.kind == "requests":
                    amount = row.counts
                elif quota.kind == "cost":
                    amount = row.reserved_pusd + row.excess_pusd if is_open else row.cost_pusd
                else:
                    amount = row.reserved_tokens if is_open else row.tokens
                used, reserved = (used, reserved + amount) if is_open else (used + amount, reserved)
        return used, reserved

    def _inside(self, row: Row, window: str, at_ms: int, *, closed: bool = False) -> bool:
        """Tell whether a row counts in the window of an instant; closed: a rolling one ends with its hour."""
        hours = rolling_hours(window)
        if hours is not None:
            late = closed and row.at_ms // HOUR_MS > at_ms // HOUR_MS
            return row.at_ms // HOUR_MS >= at_ms // HOUR_MS - hours and not late
        if window not in row.keys:
            row.keys[window] = _period(window, self.zone, row.at_ms)
        return row.keys[window] == _period(window, self.zone, at_ms)


def _period(window: str, zone: ZoneInfo, at_ms: int) -> object:
    """Name the calendar period of an instant by what a wall clock shows."""
    if window == "total":
        return 0
    if window == "minute":
        return at_ms // MINUTE_MS
    local = datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(zone)
    if window == "hour":
        return local.date(), local.hour, local.utcoffset()
    if window == "day":
        return local.date()
    return local.isocalendar()[:2] if window == "week" else (local.year, local.month)


def _identity(quota: Quota) -> tuple[object, ...]:
    return quota.scope, quota.kind, quota.window, quota.mode, quota.models


def _settled(rows: list[Row]) -> list[SettledRow]:
    return [SettledRow(r.at_ms, r.user, r.group, r.cost_pusd, r.tokens, r.counts, NO_PIECES, r.above) for r in rows]


def _by_hour(rows: list[SettledRow]) -> list[SettledRow]:
    hours: dict[tuple[int, str, str | None, str | None], list[int]] = {}
    for row in rows:
        total = hours.setdefault((row.at_ms // HOUR_MS * HOUR_MS, row.user, row.group, row.above), [0, 0, 0])
        for index, amount in enumerate((row.cost_pusd, row.tokens, row.requests)):
            total[index] += amount
    return [
        SettledRow(at_ms, user, group, cost, tokens, requests, NO_PIECES, above)
        for (at_ms, user, group, above), (cost, tokens, requests) in hours.items()
    ]


def random_quotas(dice: random.Random) -> list[Quota]:
    """Draw a few limits on nested scopes, tight enough to be reached."""
    quotas: dict[tuple[object, ...], Quota] = {}
    for _ in range(dice.randint(1, 8)):
        kind = dice.choice(("cost", "cost", "cost", "tokens", "requests", "concurrency"))
        window = "" if kind == "concurrency" else dice.choice(WINDOWS)
        amount = {"cost": 3000, "tokens": 3000, "requests": 40, "concurrency": 8}[kind]
        mode = dice.choice(("hard", "hard", "hard", "soft")) if kind != "concurrency" else "hard"
        models = dice.choice((*SETS, (), (), ()))
        quota = Quota(dice.choice(SCOPES), kind, dice.randint(1, amount), window, mode, models)  # type: ignore[arg-type]
        quotas[_identity(quota)] = quota
    return list(quotas.values())


def random_step(dice: random.Random, now_ms: int) -> int:
    """Draw where the clock stands next: mostly a little later, at times far off either way or on an edge."""
    kind = dice.random()
    if kind < 0.7:
        return now_ms + dice.choice((1, 900, 20_000, MINUTE_MS, 17 * MINUTE_MS))
    if kind < 0.85:
        return now_ms + dice.choice((HOUR_MS, 5 * HOUR_MS, DAY_MS, 8 * DAY_MS, 40 * DAY_MS))
    if kind < 0.95:
        return now_ms - dice.choice((1, 45_000, HOUR_MS, 26 * HOUR_MS, 9 * DAY_MS))
    return now_ms - now_ms % HOUR_MS + dice.choice((-1, 0, HOUR_MS - 1, HOUR_MS))


def operate(world: World, dice: random.Random, price_factor: int) -> None:
    """Do one random operation."""
    open_rows = [row for row in world.rows.values() if row.state == "open"]
    ended_rows = [row for row in world.rows.values() if row.state != "open" and row.counts]
    kind = dice.random()
    if kind < 0.5 or not world.rows:
        cost = dice.choice((0, dice.randint(1, 100), dice.randint(1, 900))) * price_factor
        models = tuple(dice.sample(MODELS, dice.choice((1, 1, 2, 3))))
        world.request(dice.choice(USERS), cost, dice.randint(0, 400), models)
    elif kind < 0.78 and open_rows:
        row = dice.choice(open_rows)
        if dice.random() < 0.15:
            world.release(row, counts=dice.random() < 0.5)
        elif dice.random() < 0.05:
            world.settle(row, row.reserved_pusd + dice.randint(1, 500), row.reserved_tokens)
        else:
            paid = tuple(dice.sample(row.models, dice.randint(0, len(row.models))))
            world.settle(row, dice.randint(0, row.reserved_pusd), dice.randint(0, row.reserved_tokens), paid)
    elif kind < 0.83 and open_rows:
        world.extend(dice.choice(open_rows), dice.randint(0, 300), dice.randint(0, 100), is_written=dice.random() < 0.9)
    elif kind < 0.85 and open_rows:
        world.hang_up(dice.choice(open_rows))
    elif kind < 0.88 and ended_rows:
        row = dice.choice(ended_rows)
        world.correct(row, dice.choice((0, row.reserved_pusd, dice.randint(0, row.reserved_pusd + 300))))
    elif kind < 0.96:
        world.move_clock(random_step(dice, world.now_ms))
    elif kind < 0.97:
        world.above = dice.choice(ABOVE)
    elif kind < 0.985:
        index = dice.randrange(len(world.quotas))
        world.edit_limit(index, dice.randint(1, 2 * world.quotas[index].amount))
    else:
        world.crash()


def run_storm(seed: int, operations: int, progress: Callable[[int], None] | None = None) -> Tally:
    """Do so many random operations in worlds of EPISODE each; raises AssertionError where the books differ.

    progress is called with the operations done so far, after each world.
    """
    dice = random.Random(seed)
    done = admitted = refused = crashes = steps = overspent = 0
    while done < operations:
        world = World(dice.choice(ZONES), random_quotas(dice), START_MS + dice.randrange(370) * DAY_MS)
        count = min(EPISODE, operations - done)
        price_factor = 1
        for number in range(count):
            operate(world, dice, price_factor)
            if number % 40 == 39:
                price_factor = dice.choice((1, 1, 3))
                world.check()
        world.check()
        overspent = max(overspent, world.overspent_pusd())
        done += count
        admitted, refused = admitted + world.admitted, refused + world.refused
        crashes, steps = crashes + world.crashes, steps + world.clock_steps
        if progress is not None:
            progress(done)
    return Tally(done, admitted, refused, crashes, steps, overspent)
