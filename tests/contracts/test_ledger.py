"""What any ledger does and any reports on it say, whatever holds the rows: asked of SQLite's and of one in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from proxy.app.rebuild import past_of, rebuilt_book
from proxy.app.storage import Storage
from proxy.policy.alerts.alert_message import AlertMessage
from proxy.policy.alerts.alert_state import AlertState
from proxy.policy.idempotency import EarlierRequest
from proxy.policy.quota import NOT_KNOWN, Quota
from proxy.policy.reconciliation.day_comparison import BilledCall, DriftEntry
from proxy.policy.time_segments import TIME_WORDS
from proxy.storage.adjustment import Booked, Correction
from proxy.storage.alerts import AlertNote, AlertNotes, DeliveryNote, SampleNote, StateNote
from proxy.storage.audit import Actor
from proxy.storage.export import Selection
from proxy.storage.labels import Labels
from proxy.storage.ledger import EndedTwiceError, Ledger, LedgerUnavailableError
from proxy.storage.reconciliation import WHOLE_ACCOUNT, ActivitySum, ComparedDay, DayQuestion, DayResult, count_of
from proxy.storage.refusals import RefusalRow
from proxy.storage.reports import BackupError, LimitPart, Reports
from proxy.storage.rows import HOUR_MS, KeyHashes, OpenRow, Reserved, id_text
from proxy.storage.sessions import StoredSessions
from proxy.storage.spending import OTHERS, UsageSelection
from proxy.storage.sqlite.ledger import open_ledger
from proxy.storage.sqlite.reports import SqliteReports
from proxy.storage.users import MissingError, TooManyUsersError, UserError
from tests.contracts.memory_ledger import MemoryLedger, MemoryReports, Store
from tests.storage.made_requests import START_MS, attempt_end, attempt_row, open_row, request_end

UTC = ZoneInfo("UTC")
DAY_MS = 24 * HOUR_MS
ROOT = Actor("root", "socket")
OpenNew = Callable[[], Any]  # opens the same store, again after the one before was closed


@pytest.fixture(params=["sqlite", "memory"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> OpenNew:
    store, path = Store(), tmp_path / "ledger.db"

    @asynccontextmanager
    async def open_new() -> AsyncIterator[tuple[Ledger, Reports]]:
        loop = asyncio.get_running_loop()
        if request.param == "memory":
            storage = Storage(MemoryLedger(store, loop), MemoryReports(store))
        else:
            ledger = open_ledger(path, loop, purpose="a test", busy_timeout_s=0.5, queue_max=1000)
            storage = Storage(ledger, SqliteReports(path))
        await storage.ledger.set_labels(Labels("UTC", "USD", "1"), START_MS)
        try:
            yield storage.ledger, storage.reports
        finally:
            await storage.ledger.close()

    return open_new


async def begun(ledger: Ledger, **changes: Any) -> OpenRow:
    row = open_row(ledger.ids.next(changes.get("started_ms", START_MS)), **changes)
    await ledger.open(row)
    return row


async def done(ledger: Ledger, **changes: Any) -> OpenRow:
    """Book one request from its beginning to its end; changes are those of its row, and cost_pusd, model, error."""
    ended = {name: changes.pop(name) for name in ("cost_pusd", "model", "error", "flags", "state") if name in changes}
    row = await begun(ledger, **changes)
    await ledger.end(request_end(row, **ended))
    return row


async def test_a_request_ends_exactly_once(opened: OpenNew) -> None:
    told: list[Exception | None] = []
    async with opened() as (ledger, reports):
        row = await begun(ledger)
        assert await ledger.state(row.id) == ("open", None, 0, (0,), NOT_KNOWN)
        ended = request_end(row)
        await ledger.end(ended, told.append)
        with pytest.raises(EndedTwiceError):
            await ledger.end(request_end(row, cost_pusd=1), told.append)
        assert await ledger.state(row.id) == ("settled", 700, 8, (0,), ended.answer)
        assert await ledger.state(row.id + 1) is None
        assert reports.spent_since("anna", [0]) == [700]
    assert told[0] is None
    assert isinstance(told[1], EndedTwiceError)


async def test_a_figure_may_come_late_and_once(opened: OpenNew) -> None:
    async with opened() as (ledger, reports):
        row = await begun(ledger)
        await ledger.end(request_end(row, state="pending", cost_pusd=None, cost_source="none"))
        assert [(one.id, one.state) for one in await ledger.unfinished()] == [(row.id, "pending")]
        assert reports.unsettled().pending == 1
        assert reports.spent_since("anna", [0]) == [0]
        await ledger.end(request_end(row, cost_pusd=900))
        with pytest.raises(EndedTwiceError):
            await ledger.end(request_end(row))
        assert reports.spent_since("anna", [0]) == [900]
        assert await ledger.unfinished() == []


async def test_what_a_crash_leaves(opened: OpenNew) -> None:
    async with opened() as (ledger, _):
        first, second = await begun(ledger), await begun(ledger, user="bob", use_case="sms", reserved_tokens=9)
        await done(ledger)
        ledger.note_generation(first.id, 1, "gen-1")
        await ledger.add_attempt(
            attempt_row(second.id), attempt_end(second.id, outcome="upstream_error", cost_pusd=5), Reserved(3000, 18)
        )
        await ledger.flush()
    async with opened() as (ledger, _):
        assert ledger.ids.next(0) > second.id
        left = await ledger.unfinished()
        assert [(one.id, one.user, one.state) for one in left] == [
            (first.id, "anna", "open"),
            (second.id, "bob", "open"),
        ]
        [attempt] = left[0].attempts
        assert (attempt.n, attempt.outcome, attempt.generation_id, attempt.key) == (1, "open", "gen-1", "main")
        assert [(one.n, one.outcome, one.cost_pusd) for one in left[1].attempts] == [
            (1, "upstream_error", 5),
            (2, "open", None),
        ]
        assert (left[1].reserved_pusd, left[1].reserved_tokens, left[1].use_case) == (3000, 18, "sms")
        assert [one.id for one in await ledger.unfinished(second.id)] == [second.id]
        await ledger.end(request_end(second, n=2, cost_pusd=705))
        assert [one.id for one in await ledger.unfinished()] == [first.id]


async def test_a_key_is_claimed_by_the_last_who_asked(opened: OpenNew) -> None:
    hashes = KeyHashes(b"k" * 32, b"b" * 32)
    async with opened() as (ledger, _):
        assert await ledger.find_key(hashes.key, 0) is None
        id_ = ledger.ids.next(START_MS)
        await ledger.claim_key(hashes, id_, 0)
        found = await ledger.find_key(hashes.key, 0)
        assert (found.body_hash, found.earlier) == (hashes.body, EarlierRequest(id_, None, None, None, None))
        row = open_row(id_)
        await ledger.open(row)
        assert (await ledger.find_key(hashes.key, 0)).earlier.state == "open"
        await ledger.end(request_end(row))
        assert (await ledger.find_key(hashes.key, 0)).earlier == EarlierRequest(id_, "settled", 200, None, 700)
        assert await ledger.find_key(hashes.key, id_ + 1) is None
        other = ledger.ids.next(START_MS)
        await ledger.claim_key(hashes, other, 0)
    async with opened() as (ledger, _):
        assert (await ledger.find_key(hashes.key, 0)).earlier.request_id == other


async def test_end_users_are_made_once_and_counted(opened: OpenNew) -> None:
    async with opened() as (ledger, reports):
        made = await ledger.add_end_user(now_ms=1, name="x", token_id="t", users_max=1)
        assert await ledger.add_end_user(now_ms=2, name="x", token_id="t", users_max=1) == made
        with pytest.raises(TooManyUsersError):
            await ledger.add_end_user(now_ms=3, name="y", token_id="t", users_max=1)
        assert reports.list_users() == [made]
        assert (made["made_by"], made["created_ms"]) == ("t", 1)
        assert reports.users_changed_ms() is None  # no limit was changed


async def test_users_and_tokens_change_by_name(opened: OpenNew) -> None:
    async with opened() as (ledger, reports):

        async def change(operation: str, **fields: Any) -> Any:
            return await ledger.operate(operation, now_ms=7, actor=ROOT, fields=fields)

        await change("users.add", name="eve", group="family", settings={"limits": {"cost": "$1/day"}})
        for fields in (
            {"name": "eve"},
            {"name": "not a name"},
            {"name": "x", "settings": {"limits": {"cost": "much"}}},
        ):
            with pytest.raises(UserError):
                await change("users.add", **fields)
        token = await change("tokens.add", user="eve", name="laptop", trusted=True)
        fresh = await change("tokens.rotate", id=token["id"], overlap_ms=5)
        with pytest.raises(MissingError):
            await change("tokens.set", id="tok_none", changes={"disabled": True})
        with pytest.raises(UserError):
            await change("tokens.set", id=token["id"], changes={"hint": "x"})
        rows = reports.directory()
        assert [user["name"] for user in rows.users] == ["eve"]
        assert {row["id"]: (row["expires_ms"], row["trusted"]) for row in rows.tokens} == {
            token["id"]: (12, True),
            fresh["id"]: (None, True),
        }
        assert set(rows.hashes) == {token["id"], fresh["id"]}
        await change("users.stop", name="file")
        await change("users.set", name="eve", changes={"group": None})
        assert [(user["name"], user["group"], user["disabled"]) for user in reports.list_users()] == [
            ("eve", None, False),
            ("file", None, True),
        ]
        await change("users.remove", name="eve")
        assert reports.list_tokens() == []
        with pytest.raises(MissingError):
            reports.find_user("eve")
        assert reports.users_changed_ms() == 7


async def test_a_user_is_made_with_a_token_or_not_at_all(opened: OpenNew) -> None:
    async with opened() as (ledger, reports):

        async def change(operation: str, **fields: Any) -> Any:
            return await ledger.operate(operation, now_ms=7, actor=ROOT, fields=fields)

        made = await change("users.create", name="bo", settings={"models": ["a/*"]}, token={"expires_ms": 99})
        assert (made["user"]["settings"], made["token"]["expires_ms"]) == ({"models": ["a/*"]}, 99)
        assert (await change("users.create", name="carl"))["token"] is None
        await change("users.patch", name="bo", changes={"settings": {"max_tokens": 5, "models": None}, "group": "g"})
        assert reports.find_user("bo")["settings"] == {"max_tokens": 5}
        with pytest.raises(MissingError):
            await change("users.patch", name="anna", changes={"settings": {"max_tokens": 5}})
        await change("users.patch", name="anna", is_configured=True, changes={"settings": {"max_tokens": 5}})
        assert reports.find_user("anna")["settings"] == {"max_tokens": 5}
        for settings in ({"max_tokens": 0}, {"token_hash": "x"}, {"disabled": True}, {"limits": {"cost": "much"}}):
            with pytest.raises(UserError):
                await change("users.patch", name="bo", changes={"settings": settings})
        assert reports.find_user("bo")["settings"] == {"max_tokens": 5}


async def test_groups_change_by_name_and_leave_nobody_in_a_group_that_is_gone(opened: OpenNew) -> None:
    async with opened() as (ledger, reports):

        async def change(operation: str, **fields: Any) -> Any:
            return await ledger.operate(operation, now_ms=7, actor=ROOT, fields=fields)

        await change("groups.add", name="staff", settings={"limits": {"cost": "$9/day"}})
        for fields in ({"name": "staff"}, {"name": "no blanks"}, {"name": "x", "settings": {"group": "y"}}):
            with pytest.raises(UserError):
                await change("groups.add", **fields)
        await change("groups.set", name="staff", settings={"limits": None, "models": ["a/*"]})
        await change("groups.set", name="family", settings={"max_tokens": 9})  # one of the configuration
        found = {row["name"]: row["settings"] for row in reports.directory().groups}
        assert found == {"staff": {"models": ["a/*"]}, "family": {"max_tokens": 9}}
        await change("users.add", name="bo", group="staff")
        await change("users.add", name="eve", group="family")
        await change("groups.remove", name="family", is_configured=True)
        await change("groups.remove", name="staff")
        assert [(row["name"], row["group"]) for row in reports.list_users()] == [("bo", None), ("eve", "family")]
        with pytest.raises(MissingError):
            await change("groups.remove", name="staff")
        assert reports.directory().groups == []


async def test_limits_change_one_by_one_wherever_they_hold(opened: OpenNew) -> None:
    async with opened() as (ledger, reports):

        async def change(operation: str, scope: str, name: str | None = None, **fields: Any) -> Any:
            fields = {"scope": scope, "name": name, **fields}
            return await ledger.operate(operation, now_ms=7, actor=ROOT, fields=fields)

        def found() -> dict[str, Any]:
            rows = reports.directory()
            holders = {f"user:{row['name']}": row["settings"].get("limits") for row in rows.users}
            holders |= {f"group:{row['name']}": row["settings"].get("limits") for row in rows.groups}
            return holders | {f"{row['scope']}:{row['name']}": row["settings"] for row in rows.limits}

        await ledger.operate("users.add", now_ms=1, actor=ROOT, fields={"name": "bo", "settings": {"max_tokens": 5}})
        whose = [("user", "bo"), ("group", "g"), ("all", None), ("each_user", None), ("use_case", "sms")]
        for scope, name in whose:
            await change("limits.add", scope, name, kind="cost", limit="$5/day")
            await change("limits.add", scope, name, kind="requests", limit="100/hour")
            with pytest.raises(UserError, match="there is a hard limit on cost over day already"):
                await change("limits.add", scope, name, kind="cost", limit="$6/day")
        both = {"cost": ["$5/day"], "requests": ["100/hour"]}
        assert found() == {f"{scope}:{name or ''}": both for scope, name in whose}
        cost, soft = ["cost", "day", "hard"], {"amount": "$6.000000000001", "window": "week", "mode": "soft"}
        for scope, name in whose:
            await change("limits.set", scope, name, place=cost, kind="cost", limit=soft)
            await change("limits.remove", scope, name, place=["requests", "hour", "hard"])
            with pytest.raises(MissingError):
                await change("limits.remove", scope, name, place=cost)
        assert found() == {f"{scope}:{name or ''}": {"cost": [soft]} for scope, name in whose}
        for scope, name in whose:
            await change("limits.remove", scope, name, place=["cost", "week", "soft"])
        assert found() == {"user:bo": None, "group:g": None}
        assert reports.find_user("bo")["settings"] == {"max_tokens": 5}
        with pytest.raises(MissingError):
            await change("limits.add", "user", "anna", kind="cost", limit="$5/day")
        await change("limits.add", "user", "anna", kind="cost", limit="$5/day", is_configured=True)
        for fields in (
            {"scope": "nobody"},
            {"scope": "all", "name": "x"},
            {"scope": "use_case"},
            {"scope": "all", "kind": "money"},
            {"scope": "all", "limit": "$5/dya"},
        ):
            with pytest.raises(UserError):
                await change("limits.add", **{"kind": "tokens", "limit": "5/day", **fields})


async def test_models_providers_and_preferences_change_by_name(opened: OpenNew) -> None:
    async with opened() as (ledger, reports):

        async def change(operation: str, **fields: Any) -> Any:
            return await ledger.operate(operation, now_ms=7, actor=ROOT, fields=fields)

        await change("models.set", name="a/*", changes={"enabled": False})
        await change("models.set", name="a/*", changes={"request_price": "0.01"})
        await change("models.set", name="b", changes={"enabled": False})
        await change("models.set", name="b", changes={"enabled": None})  # nothing is said of it any more
        await change("providers.set", name="p", changes={"enabled": False})
        await change("users.add", name="bo")
        await change("preferences.set", user="bo", settings={"cheapest": True})
        await change("preferences.set", user="of-the-file", settings={"default_model": "b"})
        for operation, fields in (
            ("models.set", {"name": "a", "changes": {"price": {"input": 1}}}),
            ("models.set", {"name": "\n", "changes": {"enabled": False}}),
            ("models.remove", {"name": "b"}),
            ("providers.set", {"name": "p", "changes": {"base_url": "http://x"}}),
            ("preferences.set", {"user": "bo", "settings": {"limits": {}}}),
            ("preferences.remove", {"user": "nobody"}),
        ):
            with pytest.raises(UserError):
                await change(operation, **fields)
        rows = reports.directory()
        assert [(row["name"], row["settings"]) for row in rows.models] == [
            ("a/*", {"enabled": False, "request_price": "0.01"})
        ]
        assert [(row["name"], row["settings"]) for row in rows.providers] == [("p", {"enabled": False})]
        assert rows.preferences == {"bo": {"cheapest": True}, "of-the-file": {"default_model": "b"}}
        await change("users.remove", name="bo")
        await change("models.remove", name="a/*")
        await change("providers.set", name="p", changes={"enabled": None})
        await change("preferences.remove", user="of-the-file")
        rows = reports.directory()
        assert (rows.models, rows.providers, rows.preferences) == ([], [], {})


async def test_sessions_are_kept_until_they_end(opened: OpenNew) -> None:
    session = {
        "id": "ses_1",
        "digest": "d1",
        "kind": "operator",
        "name": "olga",
        "token": "",
        "bound": "b",
        "address": "127.0.0.1",
        "browser": "Firefox",
        "created_ms": 5,
    }

    async with opened() as (ledger, reports):
        assert reports.sessions() == StoredSessions(None, ())

        async def add(cookie: str, **changed: object) -> object:
            fields = {"session": {**session, **changed}, "cookie": cookie}
            return await ledger.operate("sessions.add", now_ms=5, actor=ROOT, fields=fields)

        assert await add("tk_first") == "tk_first"
        assert await add("tk_second", id="ses_2", digest="d2", created_ms=4) == "tk_first"  # one name, for good
        for changed in ({"kind": "guest"}, {"name": 3}, {"created_ms": "5"}):
            with pytest.raises(UserError):
                await add("tk", id="ses_3", digest="d3", **changed)
        await ledger.note_sessions({"ses_1": 9, "ses_2": 1, "ses_gone": 7})
    async with opened() as (ledger, reports):
        stored = reports.sessions()
        assert stored.cookie == "tk_first"
        assert [(row.id, row.digest, row.seen_ms) for row in stored.rows] == [("ses_2", "d2", 4), ("ses_1", "d1", 9)]
        fields = {"id": "ses_1", "reason": "logged out"}
        assert (await ledger.operate("sessions.end", now_ms=9, actor=ROOT, fields=fields)).name == "olga"
        with pytest.raises(MissingError):
            await ledger.operate("sessions.end", now_ms=9, actor=ROOT, fields=fields)
        assert [row.id for row in reports.sessions().rows] == ["ses_2"]


async def test_stops_are_kept_until_they_end(opened: OpenNew) -> None:
    fields = {"id": "stop_0123456789ab", "kind": "user", "subject": "eve", "reason": "A leak", "cut": True}
    async with opened() as (ledger, _):
        stop = await ledger.operate("stops.add", now_ms=7, actor=ROOT, fields={**fields, "until_ms": 9})
        assert await ledger.operate("stops.add", now_ms=7, actor=ROOT, fields={**fields, "until_ms": 9}) == stop
        for changed in ({"kind": "users"}, {"subject": ""}, {"until_ms": 7}, {"id": "x"}, {"reason": "x" * 501}):
            with pytest.raises(UserError):
                await ledger.operate("stops.add", now_ms=7, actor=ROOT, fields={**fields, **changed})
    async with opened() as (ledger, reports):
        assert reports.list_stops() == [stop]
        assert (stop.kind, stop.subject, stop.cut, stop.actor, stop.until_ms) == ("user", "eve", True, "root", 9)
        await ledger.operate("stops.end", now_ms=8, actor=ROOT, fields={"id": stop.id})
        with pytest.raises(MissingError):
            await ledger.operate("stops.end", now_ms=8, actor=ROOT, fields={"id": stop.id})
        assert reports.list_stops() == []


_GROUPED = {
    ("token",): [("t", 4, 1110)],
    ("status", "endpoint"): [("200", "chat/completions", 4, 1110)],
    ("group", "requested_model"): [("", "m", 3, 1010), ("family", "m", 1, 100)],
    ("tag:k",): [("", 4, 1110)],
    ("month", "end_user"): [("2026-09", "", 4, 1110)],
}


async def test_sums_are_those_of_the_rows(opened: OpenNew) -> None:
    async with opened() as (ledger, reports):
        await done(ledger, group_name="family", cost_pusd=100)
        await done(ledger, started_ms=START_MS + DAY_MS, cost_pusd=1000, model="n", error="interrupted", flags="x")
        await done(ledger, user="bob", started_ms=START_MS + HOUR_MS // 2, cost_pusd=10)
        await done(ledger, user="bob", started_ms=START_MS + 2 * DAY_MS, cost_pusd=0, state="released")
        await begun(ledger, user="bob")
        by_user = reports.usage(UsageSelection(("user",)), UTC)
        found = [(row.key, row.requests, row.errors, row.cost_pusd) for row in by_user.rows]
        assert found == [(("anna",), 2, 1, 1100), (("bob",), 2, 0, 10)]
        assert (by_user.total.requests, by_user.total.cost_pusd) == (4, 1110)
        [row] = reports.usage(UsageSelection((), START_MS + 1, START_MS + DAY_MS + 1), UTC).rows
        assert (row.requests, row.cost_pusd, row.input_tokens, row.output_tokens) == (2, 1010, 6, 10)
        by_day = [(row.key[0], row.cost_pusd) for row in reports.usage(UsageSelection(("day",)), UTC).rows]
        assert by_day == [("2026-09-21", 110), ("2026-09-22", 1000), ("2026-09-23", 0)]
        for by, wanted in _GROUPED.items():
            sums = reports.usage(UsageSelection(by), UTC)
            assert [(*row.key, row.requests, row.cost_pusd) for row in sums.rows] == wanted
            assert sums.total.cost_pusd == 1110
        for by, number in (
            (("day", "user"), 1),
            (("model",), 1),
            (("endpoint", "month"), 1),
            (("requested_model",), 0),
        ):
            whole = reports.usage(UsageSelection(by), UTC)
            word = next(word for word in by if word not in TIME_WORDS)
            names = whole.sorted_by("cost").rows
            dearest = tuple(dict.fromkeys(row.key[by.index(word)] for row in names))[:number]
            folded = reports.usage(UsageSelection(by, kept=(word, dearest)), UTC)
            assert folded.total.cost_pusd == whole.total.cost_pusd
            assert {row.key[by.index(word)] for row in folded.rows} <= {*dearest, OTHERS}
            assert [row for row in folded.rows if OTHERS not in row.key] == [
                row for row in whole.rows if row.key[by.index(word)] in dearest
            ]
        rest = reports.unsettled()
        assert (rest.open, rest.pending, rest.flagged) == (1, 0, 1)
        assert [(one.model, one.requests, one.cost_pusd) for one in reports.usage_by_model("anna", 0)] == [
            ("n", 1, 1000),
            ("m", 1, 100),
        ]
        later_ms = (START_MS // HOUR_MS + 1) * HOUR_MS
        assert reports.spent_since("anna", [0, later_ms]) == [1100, 1000]
        assert reports.has_user("bob")
        assert not reports.has_user("carl")
        assert sorted(reports.known_users()) == ["anna", "bob"]
        assert (reports.check().problem, reports.check().requests, reports.check().unsettled) == (None, 5, 1)


async def test_a_late_cost_moves_every_sum_and_nothing_twice(opened: OpenNew) -> None:
    async with opened() as (ledger, reports):
        row = await done(ledger, cost_pusd=500, user="anna")
        told: list[tuple[Booked, ...]] = []
        truth = Correction(row.id, 120, "late look-up", "generation")
        booked = await ledger.correct([truth, truth], START_MS, told.append)
        assert [(one.how, one.booked_pusd, one.amount_pusd) for one in booked] == [
            ("adjusted", 500, -380),
            ("unchanged", 120, 0),
        ]
        assert told == [booked]
        assert booked[0].spending is not None
        assert (booked[0].spending.user, booked[0].at_ms) == ("anna", row.started_ms)
        assert (await ledger.state(row.id) or NOT_KNOWN)[:2] == ("settled", 500)
        assert [spent.cost_pusd for spent in reports.usage(UsageSelection(("user",)), UTC).rows] == [120]
        assert reports.spent_since("anna", [START_MS - START_MS % HOUR_MS]) == [120]
        own = reports.own_request("anna", id_text(row.id), START_MS)
        assert own is not None
        assert own[0].cost_pusd == 120
        book = rebuilt_book(reports, UTC, START_MS)
        assert [limit.used for limit in book.limits_view([Quota("user:anna", "cost", 1, "day")], START_MS)] == [120]
        (unknown,) = await ledger.correct([Correction(row.id + 1, 1, "late look-up", "generation")], START_MS)
        assert unknown.how == "missing"


async def test_totals_of_quotas_are_rebuilt(opened: OpenNew) -> None:
    now_ms = START_MS + 2 * DAY_MS
    quotas = [
        Quota("user:anna", kind, 10**9, window)
        for kind in ("cost", "tokens", "requests")
        for window in ("day", "total")
    ]
    async with opened() as (ledger, reports):
        old = await done(ledger, use_case="sms", cost_pusd=100)
        await done(ledger, started_ms=now_ms, cost_pusd=1000)
        held = await begun(ledger, started_ms=now_ms, use_case="sms", reserved_pusd=5000, reserved_tokens=11)
        book = rebuilt_book(reports, UTC, now_ms, [LimitPart("sms")])
        found = {(row.kind, row.window): (row.used, row.reserved) for row in book.limits_view(quotas, now_ms)}
        assert found == {
            ("cost", "day"): (1000, 5000),
            ("cost", "total"): (1100, 5000),
            ("tokens", "day"): (8, 11),
            ("tokens", "total"): (16, 11),
            ("requests", "day"): (1, 1),
            ("requests", "total"): (2, 1),
        }
        [sms] = book.limits_view([Quota("use_case:sms", "cost", 10**9, "total")], now_ms)
        assert (sms.used, sms.reserved) == (100, 5000)
        for known, total in (({0}, 5100), ({held.id}, 100)):
            hours, rows = past_of(reports, LimitPart("sms"), UTC, now_ms, known)
            assert sum(row.cost_pusd for row in (*hours, *rows)) == total
        assert old.id < held.id


async def test_a_request_is_shown_to_its_user_alone(opened: OpenNew) -> None:
    async with opened() as (ledger, reports):
        row = await begun(ledger)
        ended = request_end(row, generation_id="gen-abc", served_by="Host")
        await ledger.end(ended)
        for id_ in (id_text(row.id), "gen-abc"):
            request, [attempt] = reports.own_request("anna", id_, START_MS + 5)
            assert (request.id, request.state, request.cost_pusd, request.model) == (row.id, "settled", 700, "m")
            assert (attempt.n, attempt.provider, attempt.served_by, attempt.key) == (1, "p", "Host", "main")
            assert reports.own_request("bob", id_, START_MS + 5) is None
        assert reports.spent_with("anna", "main", [0]) == [700]
        assert reports.spent_with("anna", "other", [0]) == [0]
        assert reports.key_use("p", "main", 0) == [(START_MS, 700)]
        assert [(one.provider, one.outcome, one.status) for one in reports.recent_attempts(0)] == [("p", "ok", 200)]


async def test_an_export_is_in_the_order_of_ids(opened: OpenNew, tmp_path: Path) -> None:
    columns = ("request_id", "user", "model", "cost_pusd", "state")
    async with opened() as (ledger, reports):
        rows = [await done(ledger, user=user, started_ms=START_MS + n) for n, user in enumerate(("bob", "anna", "bob"))]
        await begun(ledger, user="carl")
        found = [row for piece in reports.export(Selection(columns, users=("bob", "anna"))) for row in piece.rows]
        assert found == [(id_text(row.id), row.user, "m", 700, "settled") for row in rows]
        selection = Selection(("user",), since_ms=START_MS + 1, until_ms=START_MS + 2, models=("m*",))
        assert [row for piece in reports.export(selection) for row in piece.rows] == [("anna",)]
        copy = reports.copy_to(tmp_path / "copy")
        assert (copy.requests, copy.cost_pusd) == (4, 2100)
        with pytest.raises(BackupError):
            reports.copy_to(tmp_path / "copy")
        assert reports.copy_to(tmp_path / "copy", force=True).requests == 4


async def test_old_rows_go_and_what_is_under_way_stays(opened: OpenNew) -> None:
    now_ms = START_MS + 30 * DAY_MS
    async with opened() as (ledger, reports):
        old = await done(ledger)
        await begun(ledger, started_ms=START_MS + DAY_MS)
        beside = await done(ledger, started_ms=START_MS + DAY_MS + 1)
        newest = await done(ledger, started_ms=now_ms)
        plan = reports.plan_removal(DAY_MS, now_ms, UTC, [])
        ids = reports.removable(plan, 0, 10)
        assert ids == [old.id]
        assert await ledger.remove_rows(ids) == 1
        assert await ledger.remove_rows(ids) == 0
        assert await ledger.state(old.id) is None
        assert await ledger.state(beside.id) is not None
        assert await ledger.state(newest.id) is not None
        kept = reports.plan_removal(DAY_MS, now_ms, UTC, [Quota("all", "cost", 1, "total")])
        assert kept.before_ms == 0


async def test_a_closed_ledger_takes_nothing(opened: OpenNew) -> None:
    async with opened() as (ledger, reports):
        assert ledger.is_alive()
        assert ledger.problem is None
    with pytest.raises(LedgerUnavailableError):
        await ledger.operate("users.add", now_ms=0, actor=ROOT, fields={"name": "x"})
    assert reports.list_users() == []


def refusal(id_: int, **changes: Any) -> RefusalRow:
    row = RefusalRow(
        id=id_,
        started_ms=id_ >> 21,
        user="anna",
        group_name=None,
        token_id="t",
        address="10.0.0.7",
        endpoint="chat/completions",
        requested_model="m",
        use_case=None,
        session_id=None,
        status=402,
        error="insufficient_quota",
        param=None,
        fault="caller",
        reason="It is spent.",
        limit_json=None,
        duration_ms=1,
    )
    return row._replace(**changes)


async def test_refusals_are_kept_once_and_bounded(opened: OpenNew) -> None:
    async with opened() as (ledger, reports):
        ids = [ledger.ids.next(START_MS + n * DAY_MS) for n in range(5)]
        await ledger.add_refusals([refusal(id_) for id_ in ids])
        await ledger.add_refusals([refusal(ids[0], user="another")])  # as after a write that was answered too late
        assert reports.surplus_refusal(0, 5) is None
        assert reports.surplus_refusal(0, 3) == ids[1]
        assert reports.surplus_refusal(START_MS + 3 * DAY_MS, 3) == ids[2]
        assert await ledger.remove_refusals(ids[2], 2) == 2
        assert await ledger.remove_refusals(ids[2], 2) == 1
        assert reports.surplus_refusal(START_MS + 3 * DAY_MS, 2) is None
    async with opened() as (ledger, _):
        assert ledger.ids.next(0) > ids[-1]  # an id is that of one request, refused or not


RULE = {"watch": "disk_free", "at": ["2GB"]}


async def test_alert_rules_are_kept_with_where_they_stand(opened: OpenNew) -> None:
    async with opened() as (ledger, reports):
        operate = partial(ledger.operate, now_ms=START_MS, actor=ROOT)
        await operate("alert_rules.add", fields={"name": "disk", "settings": RULE})
        for name, fields in (
            ("alert_rules.add", {"name": "disk", "settings": RULE}),
            ("alert_rules.add", {"name": "log", "settings": RULE}),
            ("alert_rules.add", {"name": "wrong", "settings": {"watch": "weather"}}),
            ("alert_rules.set", {"name": "none", "settings": RULE}),
            ("alert_rules.silence", {"name": "disk", "until_ms": START_MS}),
            ("alert_rules.unsilence", {"name": "disk"}),
            ("alert_deliveries.retry", {"id": 7}),
        ):
            with pytest.raises(UserError):
                await operate(name, fields=fields)
        state = AlertState(level=1, peak=1, window_ms=5, is_told=True, since_ms=6, fired_ms=7, of="disk_free 2")
        await ledger.note_alerts(AlertNotes(states=[StateNote("disk", "disk", state)]), START_MS)
        await operate("alert_rules.silence", fields={"name": "disk", "until_ms": START_MS + 1, "reason": "known"})
        rows = await asyncio.to_thread(reports.alerts)
        assert rows.states == {("disk", "disk"): state}
        assert rows.silences["disk"][:3] == ("disk", START_MS + 1, "known")
        await operate("alert_rules.unsilence", fields={"name": "disk"})
    async with opened() as (ledger, reports):
        assert (await asyncio.to_thread(reports.directory)).alert_rules[0]["settings"] == RULE
        await ledger.operate("alert_rules.remove", now_ms=START_MS, actor=ROOT, fields={"name": "disk"})
        rows = await asyncio.to_thread(reports.alerts)
        assert (rows.states, rows.silences) == ({}, {})


async def test_an_alert_is_kept_once_with_its_deliveries(opened: OpenNew) -> None:
    message = AlertMessage("fired", "disk", "disk_free", "disk", START_MS, "the disk is full")
    note = AlertNote(message, "disk_free 1", START_MS, (("log", START_MS), ("hook", START_MS + DAY_MS)))
    sample = SampleNote("price", "m", 0, "1")
    async with opened() as (ledger, reports):
        for _ in range(2):
            await ledger.note_alerts(AlertNotes(alerts=[note], samples=[sample], disabled={"hook": "410"}), START_MS)
        first, second = await asyncio.to_thread(reports.due_deliveries, 10)
        assert (first.destination, second.destination) == ("log", "hook")
        assert first.message == message
        assert first.alert_id == second.alert_id
        rows = await asyncio.to_thread(reports.alerts)
        assert (rows.disabled, dict(rows.samples)) == ({"hook": "410"}, {("price", "m"): [(0, "1")]})
        assert rows.fired_ms == {"disk": START_MS}
        ends = [
            DeliveryNote(first.id, "delivered", 1, None, 200, None),
            DeliveryNote(second.id, "failed", 10, None, 500, "no"),
        ]
        await ledger.note_alerts(AlertNotes(deliveries=ends, enabled=["hook"]), START_MS)
        assert await asyncio.to_thread(reports.due_deliveries, 10) == []
        (failed,) = await asyncio.to_thread(reports.alert_deliveries, "failed", None, 10)
        assert (failed.attempts, failed.status, failed.problem, failed.ended_ms) == (10, 500, "no", START_MS)
        listed = await asyncio.to_thread(reports.alert_deliveries, None, None, 10)
        assert [each.id for each in listed] == [second.id, first.id]
        assert await asyncio.to_thread(reports.alert_deliveries, None, second.id, 10) == listed[1:]
        fields = {"id": failed.id}
        await ledger.operate("alert_deliveries.retry", now_ms=START_MS + 9, actor=ROOT, fields=fields)
        with pytest.raises(UserError):
            await ledger.operate("alert_deliveries.retry", now_ms=START_MS + 9, actor=ROOT, fields=fields)
        (waiting,) = await asyncio.to_thread(reports.due_deliveries, 10)
        assert (waiting.id, waiting.attempts, waiting.next_ms) == (failed.id, 0, START_MS + 9)
        assert (await asyncio.to_thread(reports.alerts)).disabled == {}


def _result(day: str, *amounts: tuple[str, int], activity: int = 0) -> DayResult:
    entries = [DriftEntry(name, pusd, 7, None, "", "a/m", START_MS, 0, pusd, pusd) for name, pusd in amounts]
    billed_pusd = sum(pusd for _, pusd in amounts)
    told = ComparedDay("openrouter", day, "calls", 0, billed_pusd, 3, True, None, START_MS)
    sums = [ActivitySum("a/m", "a/m-1", "e", "OpenAI", activity, 0, 1, 2, 3, None, None)]
    return DayResult(told, entries, {}, {WHOLE_ACCOUNT: sums})


async def test_a_comparison_takes_the_place_of_the_one_before(opened: OpenNew) -> None:
    async with opened() as (ledger, reports):
        await ledger.note_reconciliation(_result("2026-09-20", ("unknown", 1)))
        await ledger.note_reconciliation(_result("2026-09-21", ("unknown", 5), ("pending", 9), activity=4))
        await ledger.note_reconciliation(
            _result("2026-09-21", ("refunded", -7), ("raised", 2), ("raised", 3), activity=8)
        )
        (day,) = reports.compared_days("2026-09-21", "2026-09-30")
        assert (day.billed_pusd, day.calls, day.is_final) == (-2, 3, True)
        assert {each[:3] for each in day.classes} == {("refunded", -7, 1), ("raised", 5, 2)}
        found = reports.drift_entries("2026-09-20", "2026-09-30", None, None, 10)
        assert [one.entry.amount_pusd for one in found] == [1, -7, 3, 2]
        first = found[1]
        assert (
            reports.drift_entries("2026-09-20", "2026-09-30", None, (first.day, first.provider, first.n), 10)
            == found[2:]
        )
        assert [
            one.entry.amount_pusd for one in reports.drift_entries("2026-09-20", "2026-09-30", "raised", None, 1)
        ] == [3]
        assert reports.activity_sums("openrouter", "2026-09-21") == {"2026-09-21": 8}
        assert not reports.compared_days("2026-09-20", "2026-09-30", "another")

        await ledger.note_reconciliation(_result("2027-12-01", ("unknown", 4)))  # single differences go with time
        assert [one.entry.amount_pusd for one in reports.drift_entries("2026-09-20", "2027-12-31", None, None, 10)] == [
            4
        ]
        assert len(reports.compared_days("2026-09-20", "2027-12-31")) == 3


async def test_a_day_that_keys_have_counted_gives_way_to_a_bill(opened: OpenNew) -> None:
    async with opened() as (ledger, reports):
        entry = DriftEntry("unknown", 5, None, None, "k" * 64, "", START_MS, 2, 7)
        counted = ComparedDay("openrouter", "2026-09-21", "keys", 2, 7, 0, False, "key b: no", START_MS)
        await ledger.note_reconciliation(DayResult(counted, [entry], {}, {"k" * 64: [count_of(7, 1)]}))
        (day,) = reports.compared_days("2026-09-21", "2026-09-21")
        assert (day.level, day.billed_pusd, day.is_final, day.problem) == ("keys", 7, False, "key b: no")
        assert reports.activity_sums("openrouter", "2026-09-21") == {}  # of the account nothing was told
        other = DayResult(counted, [], {}, {"m" * 64: [count_of(2, 0)]})
        await ledger.note_reconciliation(other)
        assert [one.level for one in reports.compared_days("2026-09-21", "2026-09-21")] == ["keys"]
        result = _result("2026-09-21", ("unknown", 1), activity=4)
        for level in ("models", "calls"):
            await ledger.note_reconciliation(replace(result, day=replace(result.day, level=level)))
            assert [one.level for one in reports.compared_days("2026-09-21", "2026-09-21")] == [level]


async def test_a_matched_call_is_remembered(opened: OpenNew) -> None:
    async with opened() as (ledger, reports):
        assert reports.first_request_ms() is None
        row = await begun(ledger)
        await ledger.end(request_end(row, generation_id=None, cost_pusd=500, cost_source="reservation"))
        day_ms = START_MS // DAY_MS * DAY_MS
        call = BilledCall("gen-hung-up", "k", 40, START_MS, START_MS)
        question = DayQuestion("p", day_ms, (call,), {"main": "k"}, "own")
        before = reports.ledger_day(question)
        assert [(one.generation_ids, one.unnamed) for one in before.requests] == [((), 1)]
        assert before.strangers == {"gen-hung-up"}
        await ledger.note_matched_calls("p", {"gen-hung-up": row.id})
        after = reports.ledger_day(question)
        assert [(one.generation_ids, one.unnamed) for one in after.requests] == [(("gen-hung-up",), 0)]
        assert not after.strangers
        assert reports.first_request_ms() == START_MS
