"""A day of the ledger beside the bill: what SQL leaves out agrees, and all that it gives is what the rows say."""

import asyncio
import random
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.reconciliation.day_comparison import BilledCall, DayBooks, DayComparison, compare_day
from proxy.policy.reconciliation.sums_comparison import BilledSum, compare_sums
from proxy.storage.adjustment import Correction, UnattachedCost
from proxy.storage.reconciliation import DayQuestion, LedgerDay
from proxy.storage.rows import KeyHash
from proxy.storage.sqlite.key_hashes import note_keys
from proxy.storage.sqlite.reports import SqliteReports
from tests.storage.booked_rows import SEVERAL, USERS, WAYS, book, booked
from tests.storage.made_requests import attempt_end, attempt_row, opened, request_end, running
from tests.support.stand import read_rows

DAY_MS = 86_400_000
_START_MS = 1_790_000_000_000 // DAY_MS * DAY_MS
_KEYS = {"main": "k" * 64}


async def written(path: Path, seed: int) -> None:
    """Book requests of all kinds over three days, some of them around midnight, and correct some."""
    chance = random.Random(seed)
    ids = []
    async with booked(path) as ledger:
        moments = sorted(chance.randrange(3 * DAY_MS) for _ in range(40))
        moments += [DAY_MS * day - back for day in (1, 2) for back in (1, 1_000, 3_600_000)]
        for at_ms in sorted(moments):
            way = chance.choice((*WAYS, *SEVERAL))
            ids.append(await book(ledger, _START_MS + at_ms, chance, way=way, user=chance.choice(USERS)))
        corrections = [Correction(id_, chance.randrange(10**6), "x: y", "test") for id_ in chance.sample(ids, 6)]
        await ledger.correct(corrections, 1)
        at_ms = _START_MS + DAY_MS + 7
        cost = UnattachedCost(at_ms, "2026-09-21", "openrouter", "a/m", "main", 77, "lost_row: y", "test", "gen-apart")
        await ledger.book_unattached([cost], 1)


def bill(path: Path, day_ms: int, chance: random.Random) -> list[BilledCall]:
    """Return the calls of the attempts of a day and the hours after it: most as they are booked, and strangers."""
    calls = {"gen-apart": BilledCall("gen-apart", _KEYS["main"], 77, day_ms, day_ms)}
    for row in read_rows(
        path, "SELECT generation_id, started_ms, cost_pusd FROM attempts WHERE generation_id NOT NULL"
    ):
        billed_ms = row["started_ms"] + (3_600_000 if chance.random() < 0.1 else 0)
        if day_ms <= billed_ms < day_ms + DAY_MS + 2 * 3_600_000 and chance.random() < 0.9:
            cost_pusd = max(0, (row["cost_pusd"] or 500) + chance.choice((0, 0, 0, -5_000, 9)))
            calls[row["generation_id"]] = BilledCall(
                row["generation_id"], _KEYS["main"], cost_pusd, billed_ms - billed_ms % 3_600_000, billed_ms
            )
    for n in range(3):
        at_ms = day_ms + chance.randrange(DAY_MS)
        calls[f"gen-strange-{n}"] = BilledCall(
            f"gen-strange-{n}", _KEYS["main"], 5, at_ms - at_ms % 3_600_000, at_ms, "other"
        )
    return [*calls.values()]


def compared(day: LedgerDay, calls: list[BilledCall], day_ms: int) -> DayComparison:
    by_id = {call.generation_id: call for call in calls}
    wanted = {id_ for request in day.requests for id_ in request.generation_ids} | day.strangers | day.earlier
    found = {id_: call for id_, call in by_id.items() if id_ in wanted}
    end_ms = day_ms + DAY_MS
    return compare_day(
        DayBooks(
            day_ms,
            day_ms + 9 * DAY_MS,
            day.requests,
            {id_: call for id_, call in found.items() if call.hour_ms < end_ms},
            {id_: call for id_, call in found.items() if call.hour_ms >= end_ms},
            day.earlier,
            day.apart,
            day.agreed_pusd,
            sum(call.cost_pusd for call in calls if call.hour_ms < end_ms),
        )
    )


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_nothing_of_a_day_is_lost(tmp_path_factory: Any, seed: int) -> None:
    path = tmp_path_factory.mktemp("day") / "ledger.db"
    asyncio.run(written(path, seed))
    reports, chance = SqliteReports(path), random.Random(seed)
    for day_ms in (_START_MS, _START_MS + DAY_MS, _START_MS + 2 * DAY_MS):
        calls = bill(path, day_ms, chance)
        day = reports.ledger_day(DayQuestion("openrouter", day_ms, calls, _KEYS, "own"))
        found = compared(day, calls, day_ms)
        rows = [row for row in read_rows(path, "SELECT * FROM requests") if _is_of(row["started_ms"], day_ms)]
        late = [row for row in read_rows(path, "SELECT * FROM adjustments") if _is_of(row["at_ms"], day_ms)]
        booked_pusd = sum(row["cost_pusd"] or 0 for row in rows) + sum(row["amount_pusd"] for row in late)
        assert found.booked_pusd == booked_pusd
        assert sum(entry.amount_pusd for entry in found.entries) == found.difference_pusd
        assert not [one for one in found.entries if one.request_id is None and one.generation_id is None]
        attempts = read_rows(path, "SELECT * FROM attempts ORDER BY request_id, n")
        check_requests(rows, late, attempts, day, {call.generation_id: call for call in calls}, day_ms)


def _is_of(ms: int, day_ms: int) -> bool:
    return day_ms <= ms < day_ms + DAY_MS


def check_requests(
    rows: list[dict[str, Any]],
    late: list[dict[str, Any]],
    attempts: list[dict[str, Any]],
    day: LedgerDay,
    billed: dict[str, BilledCall],
    day_ms: int,
) -> None:
    """Compare what is given, and what is left out, with the rows themselves."""
    found = {request.id: request for request in day.requests}
    agreed_pusd = 0
    for row in rows:
        booked_pusd = row["cost_pusd"] or 0
        booked_pusd += sum(one["amount_pusd"] for one in late if one["request_id"] == row["id"])
        own = [one["generation_id"] for one in attempts if one["request_id"] == row["id"]]
        ids = tuple(id_ for id_ in own if id_ is not None)
        if row["id"] in found:
            request = found[row["id"]]
            assert (request.booked_pusd, request.generation_ids, request.state) == (booked_pusd, ids, row["state"])
            assert request.elsewhere_pusd == 0
        else:
            calls = [billed[id_] for id_ in ids if id_ in billed]
            assert row["state"] in ("settled", "released")
            assert sum(call.cost_pusd for call in calls) == booked_pusd
            assert all(_is_of(call.hour_ms, day_ms) for call in calls)
            agreed_pusd += booked_pusd
    assert day.agreed_pusd == agreed_pusd


async def test_where_retention_has_been_sums_are_compared(tmp_path: Path) -> None:
    path, chance = tmp_path / "ledger.db", random.Random(1)
    async with booked(path) as ledger:
        costs = (300_000, 400_000)
        ids = [
            await book(ledger, _START_MS + n, chance, way="provider", cost_pusd=cost) for n, cost in enumerate(costs)
        ]
        reports = SqliteReports(path)
        question = DayQuestion("openrouter", _START_MS, (), _KEYS, "own")
        assert (await asyncio.to_thread(reports.ledger_day, question)).has_rows
        await ledger.remove_rows(ids)
        assert not (await asyncio.to_thread(reports.ledger_day, question)).has_rows
        sums = await asyncio.to_thread(reports.ledger_sums, "openrouter", _START_MS, "own")
        assert [(one.model, one.booked_pusd) for one in sums] == [("openai/gpt-5-mini", 700_000)]
        found = compare_sums(_START_MS, sums, [BilledSum(("openai/gpt-5-mini",), 700_000)], 0)
        assert not found.entries
        assert reports.first_request_ms() == _START_MS  # by its hour


async def test_a_request_whose_cost_nobody_knows_may_be_a_call_of_the_bill(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    async with running(path) as ledger:
        row = await opened(ledger, reserved_pusd=None, session_id="s-1")
        await ledger.end(request_end(row, cost_pusd=None, cost_source="none", flags="cost_unknown crash"))
        several = await opened(ledger, reserved_pusd=None)
        failed = attempt_end(several.id, 1, cost_pusd=0, cost_source="none")
        await ledger.add_attempt(attempt_row(several.id, 2), failed)
        lost = attempt_end(several.id, 2, cost_pusd=None, cost_source="none")
        await ledger.end(
            request_end(several, n=2, cost_pusd=None, cost_source="none", flags="cost_unknown", attempt_ends=(lost,))
        )
        free = await opened(ledger, reserved_pusd=None)
        await ledger.end(request_end(free, cost_pusd=0, cost_source="none", state="released"))
        day_ms = row.started_ms // DAY_MS * DAY_MS
        billed = BilledCall("gen-1", _KEYS["main"], 40, row.started_ms, row.started_ms)
        question = DayQuestion("p", day_ms, (billed,), _KEYS, "own")
        day = await asyncio.to_thread(SqliteReports(path).ledger_day, question)
        found = {one.id: (one.unnamed, one.booked_pusd, one.session) for one in day.requests}
        assert found == {row.id: (1, 0, "s-1"), several.id: (1, 0, "")}
        assert day.strangers == {"gen-1"}


async def test_attempts_without_an_id_keep_their_models(tmp_path: Path) -> None:
    """Each is a call of its own on the bill; of one whose call was found, only the other is left."""
    path = tmp_path / "ledger.db"
    async with running(path) as ledger:
        row = await opened(ledger, reserved_pusd=300)
        first = attempt_end(row.id, 1, cost_pusd=100, cost_source="reservation")._replace(generation_id=None)
        await ledger.add_attempt(attempt_row(row.id, 2)._replace(model="b/n"), first)
        last = attempt_end(row.id, 2, cost_pusd=200, cost_source="reservation")._replace(generation_id=None)
        await ledger.end(request_end(row, n=2, cost_pusd=300, cost_source="reservation", attempt_ends=(last,)))
        question = DayQuestion("p", row.started_ms // DAY_MS * DAY_MS, (), _KEYS, "own")
        asked = SqliteReports(path).ledger_day
        [request] = (await asyncio.to_thread(asked, question)).requests
        first_model, last_model = (model for _, model in request.unnamed_as)
        assert first_model != last_model == "b/n"
        await ledger.note_matched_calls("p", {"gen-1": row.id})
        [request] = (await asyncio.to_thread(asked, question)).requests
        assert (request.unnamed, [model for _, model in request.unnamed_as]) == (1, ["b/n"])


async def test_what_was_booked_apart_is_seen_from_the_day_on_which_it_is_billed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    async with booked(path) as ledger:
        cost = UnattachedCost(_START_MS + 5, "2026-09-20", "openrouter", "a/m", "main", 77, "x: y", "test", "gen-1")
        await ledger.book_unattached([cost], 1)
        call = BilledCall("gen-1", _KEYS["main"], 77, _START_MS + DAY_MS, _START_MS + DAY_MS)

        async def apart(day_ms: int, *calls: BilledCall) -> list[tuple[str, int, int]]:
            question = DayQuestion("openrouter", day_ms, calls, _KEYS, "own")
            found = (await asyncio.to_thread(SqliteReports(path).ledger_day, question)).apart
            return [(one.reference, one.amount_pusd, one.days) for one in found]

        assert await apart(_START_MS) == [("gen-1", 77, 0)]
        assert await apart(_START_MS + DAY_MS) == []
        assert await apart(_START_MS + DAY_MS, call) == [("gen-1", 77, -1)]


async def test_a_key_came_with_its_first_request_or_when_it_was_noted(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    async with booked(path) as ledger:
        await book(ledger, _START_MS + 7, random.Random(1))
        for name, id_, at_ms in (("main", 1, _START_MS + DAY_MS), ("other", 2, _START_MS + DAY_MS)):
            key = KeyHash(id_, f"hash-{name}", "openrouter", name)
            await ledger.change(lambda db, key=key, at_ms=at_ms: note_keys(db, [key], at_ms))  # type: ignore[misc]
        begun = await asyncio.to_thread(SqliteReports(path).keys_begun_ms, "openrouter")
        assert begun == {"hash-main": _START_MS + 7, "hash-other": _START_MS + DAY_MS}
        assert await asyncio.to_thread(SqliteReports(path).keys_begun_ms, "nobody") == {}


async def test_what_one_provider_told_is_no_figure_of_another(tmp_path: Path) -> None:
    """Of a request that two were asked for, each bill corrects its own part, and leaves what the other one said."""
    path = tmp_path / "ledger.db"
    async with running(path) as ledger:
        row = await opened(ledger, reserved_pusd=200)
        first = attempt_end(row.id, 1, cost_pusd=100, cost_source="reservation")._replace(generation_id=None)
        await ledger.add_attempt(attempt_row(row.id, 2)._replace(provider="q"), first)
        last = attempt_end(row.id, 2, cost_pusd=100, cost_source="reservation")._replace(generation_id=None)
        end = request_end(row, n=2, cost_pusd=200, cost_source="reservation", provider="q", attempt_ends=(last,))
        await ledger.end(end)
        day_ms = row.started_ms // DAY_MS * DAY_MS

        async def booked_at(provider: str) -> tuple[int, int, int | None]:
            question = DayQuestion(provider, day_ms, (), _KEYS, "own")
            [request] = (await asyncio.to_thread(SqliteReports(path).ledger_day, question)).requests
            return request.booked_pusd, request.elsewhere_pusd, request.attempt

        assert [await booked_at(provider) for provider in ("p", "q")] == [(100, 100, 1), (100, 100, 2)]
        await ledger.correct([Correction(row.id, 130, "x: y", "bill of p", attempt=1)], 1)
        assert [await booked_at(provider) for provider in ("p", "q")] == [(30, 100, 1), (100, 30, 2)]
        await ledger.correct([Correction(row.id, 30, "x: y", "bill of q", attempt=2)], 1)
        assert [await booked_at(provider) for provider in ("p", "q")] == [(30, 0, 1), (0, 30, 2)]


async def test_a_call_of_midnight_whose_row_is_removed_is_not_lost(tmp_path: Path) -> None:
    path, day_ms = tmp_path / "ledger.db", 86_400_000
    async with booked(path) as ledger:
        late_ms = _START_MS + day_ms - 3_000  # the bill has it on the next day
        await ledger.remove_rows([await book(ledger, late_ms, random.Random(1), way="provider", cost_pusd=7)])
        for days, has_rows in ((0, False), (1, False), (2, True)):
            question = DayQuestion("openrouter", _START_MS + days * day_ms, (), _KEYS, "own")
            assert (await asyncio.to_thread(SqliteReports(path).ledger_day, question)).has_rows is has_rows
