"""Costs that became known late, in SQLite: whatever is told in whatever order, the sums are those of the last truth."""

import asyncio
import random
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.app.rebuild import rebuilt_book
from proxy.policy.quota import Quota
from proxy.storage.adjustment import AdjustedKey, Booked, Correction, RemovedRequest, UnattachedCost
from proxy.storage.rows import HOUR_MS
from proxy.storage.spending import UsageSelection
from proxy.storage.spending_source import SpendingSource
from proxy.storage.sqlite.connect import open_reader
from proxy.storage.sqlite.ledger import SqliteLedger
from proxy.storage.sqlite.reports import SqliteReports
from proxy.storage.sqlite.verify import ExpectedTotals, verify
from tests.storage.booked_rows import DAY_MS, START_MS, USERS, book, booked
from tests.support.sampling import count

UTC = ZoneInfo("UTC")
DAY = "2026-09-21"
NOW_MS = START_MS + 2 * HOUR_MS
LOST = UnattachedCost(START_MS, DAY, "openrouter", "openai/gpt-5-mini", "main", 70, "a lost row", "activity", "gen-9")
ENDED = ("provider", "price", "reservation", "unknown", "released", "over", "billed_before", "charged_before")
LIMITS = [
    Quota(scope, "cost", 1, window)
    for scope in ("all", "user:anna", "user:bob", "group:family")
    for window in ("day", "month", "total")
]


def faults(path: Path) -> list[Any]:
    with closing(open_reader(path)) as connection:
        return verify(connection, ExpectedTotals((), UTC, None, 1e9, 1e9), NOW_MS).differences


def used(path: Path) -> dict[str, set[int]]:
    """Return what limits of each scope count after a restart: one figure, for all windows hold all that there is."""
    book = rebuilt_book(SqliteReports(path), UTC, NOW_MS)
    found: defaultdict[str, set[int]] = defaultdict(set)
    for row in book.limits_view(LIMITS, NOW_MS):
        found[row.scope].add(row.used)
    return dict(found)


def spent(path: Path) -> dict[str, int]:
    rows = SqliteReports(path).usage(UsageSelection(("user",)), UTC).rows
    return {row.key[0]: row.cost_pusd for row in rows}


async def told(ledger: SqliteLedger, *corrections: Correction) -> list[Booked]:
    return list(await ledger.correct(corrections, NOW_MS))


def late(request_id: int, actual_pusd: int, **more: Any) -> Correction:
    return Correction(request_id, actual_pusd, "late look-up", "generation", **more)


@given(data=st.data())
@settings(max_examples=count(20, 0.25), deadline=None)
def test_the_last_truth_counts_in_every_sum(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Any requests, any truths in any order, repeated, with restarts between: all sums are those of the last ones."""
    path = tmp_path_factory.mktemp("late") / "t.db"
    chance = random.Random(data.draw(st.integers(0, 1000)))
    ways = data.draw(st.lists(st.sampled_from(ENDED), min_size=1, max_size=6))
    whose = [chance.choice(USERS) for _ in ways]
    truths = data.draw(st.lists(st.tuples(st.integers(0, len(ways) - 1), st.integers(0, 9_000_000)), max_size=8))
    restart_at = data.draw(st.integers(0, len(truths)))

    async def play() -> list[int]:
        ids = []
        async with booked(path) as ledger:
            for n, way in enumerate(ways):  # in the hour that a rebuild reads by rows, and in earlier ones
                ids.append(await book(ledger, START_MS + n * HOUR_MS // 2, chance, way=way, user=whose[n]))
            for n, actual in truths[:restart_at]:
                await told(ledger, late(ids[n], actual))
        async with booked(path) as ledger:
            for n, actual in truths[restart_at:]:
                (first,) = await told(ledger, late(ids[n], actual))
                (again,) = await told(ledger, late(ids[n], actual))
                assert (first.actual_pusd, again.how, again.amount_pusd) == (actual, "unchanged", 0)
        return ids

    ids = asyncio.run(play())
    with closing(open_reader(path)) as connection:
        costs = dict(connection.execute("SELECT id, ifnull(cost_pusd, 0) FROM requests"))
    costs |= {ids[n]: actual for n, actual in truths}
    by_user = {name: [costs[id_] for id_, who in zip(ids, whose, strict=True) if who[0] == name] for name, _ in USERS}
    assert faults(path) == []
    assert spent(path) == {name: sum(found) for name, found in by_user.items() if found}
    of = {"all": sum(costs.values()), "user:anna": sum(by_user["anna"]), "user:bob": sum(by_user["bob"])}
    of["group:family"] = sum(by_user["anna"]) + sum(by_user["carl"])
    assert used(path) == {scope: {pusd} for scope, pusd in of.items()}


async def test_what_has_not_ended_is_left_alone(tmp_path: Path) -> None:
    chance = random.Random(1)
    async with booked(tmp_path / "t.db") as ledger:
        under_way = await book(ledger, START_MS, chance, way="open")
        pending = await book(ledger, START_MS, chance, way="pending")
        found = await told(ledger, late(under_way, 5), late(pending, 5), late(7, 5))
    assert [(one.how, one.amount_pusd) for one in found] == [("open", 0), ("pending", 0), ("missing", 0)]
    assert faults(tmp_path / "t.db") == []


async def test_a_request_that_retention_removed_is_corrected_on_its_hour(tmp_path: Path) -> None:
    """With the place that the caller knows, or that an earlier adjustment keeps; never below nothing."""
    path, chance, ids = tmp_path / "t.db", random.Random(1), []
    old_ms = START_MS - 40 * DAY_MS
    async with booked(path) as ledger:
        ids = [await book(ledger, old_ms + n, chance, cost_pusd=100) for n in range(2)]
        newest = await book(ledger, START_MS, chance, cost_pusd=100)
        await told(ledger, late(ids[0], 130))
        assert await ledger.remove_rows(ids) == 2
        with closing(open_reader(path)) as connection:
            [day, source] = connection.execute(
                "SELECT day, group_name || ' ' || use_case FROM adjustments WHERE request_id = ?", ids[:1]
            ).fetchone()
        again, higher, unknown = await told(ledger, late(ids[0], 130), late(ids[0], 150), late(ids[1], 90))
        assert (again.how, higher.how, higher.is_on_hour, unknown.how) == ("unchanged", "adjusted", True, "missing")
        assert higher.charged == AdjustedKey("openrouter", "main")
        with closing(open_reader(path)) as connection:
            names = connection.execute(
                "SELECT user, group_name, model, provider, use_case, groups_above, other_models FROM usage_hourly"
                " WHERE hour_ms < ? ORDER BY cost_pusd",
                (START_MS - DAY_MS,),
            ).fetchall()
        assert source.split()[0] == "family"
        place = SpendingSource._make(names[0])
        removed = RemovedRequest(old_ms, day, place, 100, AdjustedKey("openrouter", "main"))
        lower, too_low = await told(
            ledger, late(ids[1], 90, removed=removed), late(newest + 1, 0, removed=RemovedRequest(1, day, place, 9))
        )
        assert (lower.how, lower.amount_pusd, too_low.how) == ("adjusted", -10, "refused")
    assert spent(path) == {"anna": 100 + 150 + 90}
    assert faults(path) == []


async def test_what_belongs_to_no_request_is_booked_once_by_its_reference(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    async with booked(path) as ledger:
        await book(ledger, START_MS, random.Random(1), cost_pusd=100)
        first, again = await ledger.book_unattached([LOST, LOST], NOW_MS)
        assert (first.how, first.is_new, first.amount_pusd) == ("adjusted", True, 70)
        assert (again.how, again.is_new, again.amount_pusd) == ("unchanged", False, 0)
        dearer = UnattachedCost(START_MS, DAY, "openrouter", "x", "main", 90, "a lost row", "activity", "gen-9")
        (more,) = await ledger.book_unattached([dearer], NOW_MS)
        assert (more.amount_pusd, more.is_new) == (20, False)
        gone = UnattachedCost(START_MS - 9 * 3_600_000, "", "openrouter", "", "", 30, "refunded", "activity", "gen-9")
        (less,) = await ledger.book_unattached([gone], NOW_MS)  # who takes it back need not know where it was booked
        assert (less.amount_pusd, less.at_ms, less.charged) == (-60, START_MS, AdjustedKey("openrouter", "main"))
        (more,) = await ledger.book_unattached([dearer], NOW_MS)
        assert (more.amount_pusd, more.is_new) == (60, False)
    reports = SqliteReports(path)
    assert spent(path) == {"": 90, "anna": 100}
    assert used(path) == {"all": {190}, "user:anna": {100}, "user:bob": {0}, "group:family": {100}}
    assert sorted(reports.key_use("openrouter", "main", 0)) == [(START_MS, 90), (START_MS, 100)]
    assert faults(path) == []


async def test_the_key_of_the_corrected_attempt_counts_it(tmp_path: Path) -> None:
    """Of several attempts the one that is named, or the least certain one."""
    path, chance = tmp_path / "t.db", random.Random(1)
    async with booked(path) as ledger:
        id_ = await book(ledger, START_MS, chance, way="charged_before")
        reports = SqliteReports(path)
        before = reports.key_use("openrouter", "main", 0)
        booked_pusd = sum(pusd for _, pusd in before)
        (by_doubt,) = await told(ledger, late(id_, booked_pusd - 1))
        (by_name,) = await told(ledger, late(id_, booked_pusd + 5, attempt=2))
        assert by_doubt.charged == by_name.charged == AdjustedKey("openrouter", "main")
        with closing(open_reader(path)) as connection:
            rows = connection.execute("SELECT attempt, amount_pusd FROM adjustments").fetchall()
        assert rows == [(1, -1), (2, 6)]
        after = reports.key_use("openrouter", "main", 0)
        assert [now - then for (_, now), (_, then) in zip(after, before, strict=True)] == [-1, 6]


@pytest.mark.parametrize("actual", [-1, 2**63])
def test_what_can_never_be_booked_is_refused(actual: int) -> None:
    with pytest.raises(ValueError, match="a cost is 0 to"):
        late(1, actual)
    with pytest.raises(ValueError, match="a cost is 0 to"):
        UnattachedCost(1, DAY, "p", "m", "k", actual, "r", "s", "ref")
    with pytest.raises(ValueError, match="a reference has 1 to"):
        UnattachedCost(1, DAY, "p", "m", "k", 1, "r", "s", "")
