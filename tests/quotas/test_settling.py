"""From reservation to settlement: too high a bill, figures that come late or never, kills, and restarts in between."""

import asyncio
import random
import signal
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.quotas.place import Place, cost, error_of, user
from tests.support.book import book_of
from tests.support.control import Controls
from tests.support.installation import settings, token_of, write_config
from tests.support.patience import eventually
from tests.support.process import Process, serving
from tests.support.raw import ask, connect, request_bytes
from tests.support.stand import CHAT, MESSAGES, MODEL, read_rows

Open = Callable[..., Awaitable[Place]]

HARD = {"users": {"anna": user("anna", limits={"cost": "$1/day", "tokens": "1M/day", "requests": "1k/day"})}}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_bill_above_the_worst_case(opened: Open, stream: bool) -> None:
    """Booked in full and flagged; the limit is passed by just that, and the next request is refused."""
    place = await opened({"users": {"anna": user("anna", limits={"cost": cost(10**9)})}})
    await place.sim.behave("next", extra_cost_pusd=5 * 10**9)
    assert (await place.chat(stream=stream)).status == 200
    (row,) = place.rows()
    assert row["flags"] == "over_reservation"
    assert row["cost_pusd"] > 5 * 10**9 > row["reserved_pusd"]
    limit = await place.limit()
    assert (limit["used_pusd"], limit["reserved_pusd"], limit["remaining_pusd"]) == (row["cost_pusd"], 0, 0)
    answer = await place.chat(stream=stream)
    assert (answer.status, error_of(answer)["code"]) == (402, "insufficient_quota")
    await place.restart()
    assert await place.limit() == limit
    assert (await place.chat()).status == 402
    await place.check_books()


async def test_a_figure_that_comes_late(opened: Open) -> None:
    """Until it is there the whole reservation stays set aside, over a restart too."""
    place = await opened(HARD)
    await place.sim.behave("next", usage="missing", generation_delay_ms=900)
    assert (await place.chat()).status == 200
    (row,) = place.rows()
    assert row["state"] == "pending"
    held = [(one["used"], one["reserved"]) for one in await place.limits()]
    assert (await place.limit())["reserved_pusd"] == row["reserved_pusd"]
    assert (await place.limit(kind="requests"))["reserved"] == 1
    await place.restart()
    assert [(one["used"], one["reserved"]) for one in await place.limits()] == held
    await place.quiet()
    (row,) = place.rows()
    assert (row["state"], row["cost_source"]) == ("settled", "generation")
    assert [one["reserved_pusd"] for one in await place.limits() if one["kind"] == "cost"] == [0]
    assert (await place.limit())["used_pusd"] == row["cost_pusd"]
    assert (await place.limit(kind="requests"))["used"] == 1
    await place.check_books()


async def test_a_figure_that_never_comes(opened: Open) -> None:
    """What can't be learnt is charged at the reservation; the tokens nobody counted at theirs."""
    place = await opened({**HARD, "ledger": {"lookup_timeout_s": 0.4}})
    await place.sim.behave("next", usage="missing", generation_missing=True)
    assert (await place.chat()).status == 200
    await place.quiet()
    (row,) = place.rows()
    assert (row["state"], row["cost_source"], row["cost_pusd"]) == ("settled", "reservation", row["reserved_pusd"])
    before = await place.limits()
    assert (await place.limit())["used_pusd"] == row["reserved_pusd"]
    assert (await place.limit(kind="tokens"))["used"] > 0
    await place.restart()
    assert await place.limits() == before


async def test_tokens_that_nobody_counted_after_a_restart(opened: Open) -> None:
    """A provider without costs whose usage makes no sense: the estimate is the same before and after a restart."""
    place = await opened(HARD)
    await place.sim.behave("next", usage_literal='{"prompt_tokens": "12", "completion_tokens": 1.5, "cost": -1}')
    assert (await place.chat(model="plain/gpt-4o-mini")).status == 200
    (row,) = place.rows()
    assert (row["cost_source"], row["input_tokens"], row["output_tokens"]) == ("estimate", None, None)
    before = await place.limits()
    assert (await place.limit(kind="tokens"))["used"] > 0
    await place.restart()
    assert await place.limits() == before


@pytest.mark.parametrize("moment", ["waiting for headers", "in the stream"])
async def test_whoever_hangs_up_pays(opened: Open, moment: str) -> None:
    """Closing the connection just before the bill is told makes nothing free."""
    place = await opened(HARD)
    if moment == "in the stream":
        await place.sim.behave("next", stop_at="before_usage", stop_with="hang", hang_ms=300, generation_delay_ms=700)
    else:
        await place.sim.behave("next", delay_ms=300)
    client = await place.begin_chat(stream=True)
    if moment == "in the stream":
        await client.read_until(b'"finish_reason":"stop"')
    else:
        await place.arrived(1)
    held = await place.limit()
    assert (held["used_pusd"], held["reserved_pusd"] > 0) == (0, True)
    await client.hang_up()

    async def no_longer_running() -> bool:
        return not len(place.app.services.in_flight)

    await eventually(no_longer_running)
    (row,) = place.rows()
    if row["state"] == "pending":
        assert (await place.limit())["reserved_pusd"] == held["reserved_pusd"]
    await place.quiet()
    assert (await place.limit())["used_pusd"] > 0
    assert (await place.limit())["reserved_pusd"] == 0
    await place.check_books()


async def test_a_cancelled_request_leaves_no_reservation(opened: Open) -> None:
    """Clients that go away at random moments, a hundred of them: nothing stays set aside."""
    place = await opened(HARD)
    dice = random.Random(5)

    async def come_and_go() -> None:
        client = await connect(place.app.port)
        fields = {"model": MODEL, "messages": MESSAGES, "max_tokens": 16, "stream": dice.random() < 0.5}
        await client.send(request_bytes("POST", CHAT, fields, token=token_of("anna")))
        await asyncio.sleep(dice.random() * 0.03)
        await client.hang_up()

    for _ in range(5):
        await asyncio.gather(*(come_and_go() for _ in range(20)))
    await place.quiet()
    assert [row["reserved"] for row in await place.limits() if row["kind"] != "cost"] == [0, 0]
    assert (await place.limit())["reserved_pusd"] == 0
    assert book_of(place.app.services).open_requests() == {}
    await place.check_books()


@pytest.mark.parametrize("fault", ["overloaded", "server-error", "credits-insufficient", "no-endpoints"])
async def test_what_was_certainly_not_billed_is_given_back(opened: Open, fault: str) -> None:
    place = await opened(HARD)
    await place.sim.behave("next", error=fault)
    assert (await place.chat()).status >= 400
    (row,) = place.rows()
    assert (row["state"], row["cost_pusd"]) == ("released", 0)
    limit = await place.limit()
    assert (limit["used_pusd"], limit["reserved_pusd"]) == (0, 0)
    await place.check_books()


async def test_the_last_usage_counts(opened: Open) -> None:
    """A preview in the first chunk is not what it cost: where no other follows, it is looked up."""
    place = await opened(HARD)
    for usage_at in ("first", "every", "twice", "after_done", "last"):
        await place.sim.behave("next", usage_at=usage_at, completion_tokens=16)
        assert (await place.chat(stream=True)).status == 200
    await place.quiet()
    assert [row["cost_source"] for row in place.rows()] == ["generation", *["provider"] * 4]
    await place.check_books()


def _two_targets(limit_pusd: int) -> dict[str, Any]:
    return {
        "quotas": {"on_over_budget": "refuse"},
        "users": {"anna": user("anna", limits={"cost": cost(limit_pusd)}), "bob": user("bob")},
        "presets": {"fast": ["openai/gpt-4o", MODEL]},
    }


async def test_no_second_try_without_money_for_both(opened: Open) -> None:
    """A target that broke off after the request had reached it may charge: the next one needs money of its own."""
    place = await opened(_two_targets(10**12))
    worst = await place.worst_case("bob", model="fast", max_tokens=50)
    second = await place.worst_case("bob", model=MODEL, max_tokens=50)
    spent = sent = 0
    for left_pusd, status, tries in ((worst + second // 2, 502, 1), (2 * worst, 200, 2)):
        await place.configure(_two_targets(spent + left_pusd))
        await place.sim.behave("model:openai/gpt-4o", stop_at="before_headers", stop_with="rst")
        assert (await place.chat(model="fast", max_tokens=50)).status == status
        await place.quiet()
        sent += tries
        assert len(await place.sim.requests()) == sent
        row = place.rows()[-1]
        assert (row["attempts"], row["state"]) == (tries, "settled")
        assert 0 < row["cost_pusd"] <= row["reserved_pusd"] <= left_pusd
        spent += row["cost_pusd"]


async def test_a_second_try_after_one_that_may_be_billed_reserves_anew(opened: Open) -> None:
    """The first may be charged for: its share stays set aside, and is booked, beside what the second costs."""
    place = await opened({**HARD, "presets": {"fast": ["openai/gpt-4o", MODEL]}})
    await place.sim.behave("model:openai/gpt-4o", stop_at="before_headers", stop_with="rst")
    assert (await place.chat(model="fast")).status == 200
    await place.quiet()
    assert len(await place.sim.requests()) == 2
    (row,) = place.rows()
    first, second = read_rows(place.folder / "ledger.db", "SELECT * FROM attempts ORDER BY n")
    assert (first["cost_pusd"], first["cost_source"]) == (first["reserved_pusd"], "reservation")
    assert second["cost_source"] == "provider"
    assert row["cost_pusd"] == first["cost_pusd"] + second["cost_pusd"] <= row["reserved_pusd"]
    assert (row["state"], row["cost_source"], row["attempts"]) == ("settled", "reservation", 2)
    await place.sim.behave("model:openai/gpt-4o", error="overloaded")
    assert (await place.chat(model="fast")).status == 200
    assert place.rows()[1]["cost_source"] == "provider"


async def test_the_dearest_target_of_a_preset_is_set_aside(opened: Open) -> None:
    """Whichever answers is booked at what it charged; what was set aside covers each of them."""
    place = await opened({**HARD, "presets": {"fast": ["openai/gpt-oss-20b:free", "openai/gpt-4o"]}})
    worst = await place.worst_case(model="openai/gpt-4o")
    await place.sim.behave("next", error="overloaded")
    assert (await place.chat(model="fast")).status == 200
    (row,) = place.rows()
    assert abs(row["reserved_pusd"] - worst) < 20 * 2_500_000  # the names differ in length, no more
    assert 0 < row["cost_pusd"] <= row["reserved_pusd"]
    await place.check_books()


async def test_no_reservation_on_disk_no_request(opened: Open) -> None:
    """Another program holds the ledger: 503, nothing is sent, nothing stays set aside, and then it works again."""
    place = await opened({**HARD, "ledger": {"busy_timeout_s": 0.1}})
    await place.restart()
    other = sqlite3.connect(place.folder / "ledger.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    answers = await asyncio.gather(*(place.chat() for _ in range(5)))
    assert {(answer.status, error_of(answer)["code"]) for answer in answers} == {(503, "ledger_unavailable")}
    assert await place.sim.requests() == []
    assert (await place.limit())["reserved_pusd"] == 0
    assert (await place.limit(kind="requests"))["used"] == 0
    other.execute("ROLLBACK")
    other.close()
    assert (await place.chat()).status == 200
    await place.check_books()


async def test_what_cannot_be_written_still_counts(opened: Open) -> None:
    """The settlement waits for the disk: until it is written the reservation stands, then the cost."""
    place = await opened({**HARD, "ledger": {"busy_timeout_s": 0.1, "settlement_timeout_s": 0.2}})
    await place.restart()
    await place.sim.behave("next", stop_at="after_chunks", stop_after=1, stop_with="hang", hang_ms=1500)
    client = await place.begin_chat(stream=True)
    await place.arrived(1)
    held = (await place.limit())["reserved_pusd"]
    other = sqlite3.connect(place.folder / "ledger.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    await client.read_until(b"[DONE]")
    assert (await place.limit())["reserved_pusd"] == held > 0
    other.execute("ROLLBACK")
    other.close()

    async def written() -> bool:
        return bool((await place.limit())["reserved_pusd"] == 0)

    await eventually(written)
    await place.check_books()


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "Australia/Lord_Howe"])
async def test_a_restart_changes_no_figure(opened: Open, zone: str) -> None:
    """Random requests over three weeks, around the edges of days and months; every window equal after each restart.

    In zones off UTC by parts of an hour a day begins in the middle of an hour of the roll-up.
    """
    dice = random.Random(zone)
    windows = ["minute", "hour", "12h", "day", "week", "month", "30d", "total"]
    limits = {
        "cost": [{"amount": "$1000", "window": window} for window in windows],
        "tokens": [{"amount": "1B", "window": window} for window in windows],
        "requests": [{"amount": "1B", "window": window} for window in windows],
    }
    people = ["anna", "ben", "ci"]
    place = await opened(
        {
            "timezone": zone,
            "limits": limits,
            "providers": {"openrouter": {"prices": {"sim/*": {"input": 100, "output": 1000}}}},
            "groups": {"family": {"limits": limits}},
            "users": {
                "anna": user("anna", group="family", limits=limits),
                "ben": user("ben", group="family"),
                "ci": user("ci", limits=limits),
            },
        }
    )
    place.move_to("2026-11-20T11:00:00Z")
    for _ in range(6):
        for _ in range(8):
            place.clock.ms += dice.choice([1, 59_999, 15 * 60_000, 3_600_000, 7 * 3_600_000, 40 * 3_600_000])
            behaviour = dice.choice(["ok", "cost-random", "cached-prompt", "reasoning", "error-overloaded"])
            assert (await place.chat(dice.choice(people), model=f"sim/{behaviour}")).status in (200, 402, 503)
            assert (await place.chat(dice.choice(people))).status == 200
        await place.quiet()
        before = [await place.limits(who) for who in people]
        await place.restart()
        assert [await place.limits(who) for who in people] == before
        place.clock.ms += 24 * 3_600_000
        later = [await place.limits(who) for who in people]
        await place.restart()
        assert [await place.limits(who) for who in people] == later
    await place.check_books()


def hard_config(folder: Path, sim: Controls) -> Path:
    return write_config(folder, settings(sim.url, HARD))


async def figures(process: Process) -> tuple[int, int]:
    """Give what is used and what is set aside, as anna is told."""
    answer = await process.ask("GET", "/v1/me/limits")
    (row,) = [row for row in answer.json()["limits"] if row["kind"] == "cost"]
    return row["used_pusd"], row["reserved_pusd"]


@pytest.mark.parametrize("padding_units", [0, 400], ids=["silent", "padded"])
async def test_a_kill_before_the_end_of_a_plain_answer(tmp_path: Path, sim: Controls, padding_units: int) -> None:
    """Its generation was named before its body came, so that it is looked up and not charged at the worst case."""
    config = hard_config(tmp_path, sim)
    async with serving(tmp_path, config) as process, AsyncExitStack() as clients:
        await sim.forget()
        await sim.behave("all", padding_units=padding_units, pace_ms=10, stop_at="after_headers", stop_with="hang")
        if padding_units:
            await sim.behave("all", padding_units=padding_units, pace_ms=10)
        client = await clients.enter_async_context(await connect(process.port))
        fields = {"model": MODEL, "messages": MESSAGES, "max_tokens": 500}
        await client.send(request_bytes("POST", CHAT, fields, token=process.token))

        async def is_named() -> bool:
            found = await asyncio.to_thread(read_rows, tmp_path / "ledger.db", "SELECT generation_id FROM requests")
            return [row["generation_id"] is not None for row in found] == [True]

        await eventually(is_named)
        process.signal(signal.SIGKILL)
        await process.ended()
    await sim.normal()
    async with serving(tmp_path, config):

        async def is_settled() -> bool:
            found = await asyncio.to_thread(read_rows, tmp_path / "ledger.db", "SELECT state FROM requests")
            return [row["state"] for row in found] == ["settled"]

        await eventually(is_settled)
        (row,) = await asyncio.to_thread(read_rows, tmp_path / "ledger.db", "SELECT * FROM requests")
        charged = (await sim.books())["generations"][row["generation_id"]]["charged_pusd"]
        assert (row["cost_source"], row["cost_pusd"], row["flags"]) == ("generation", charged, "crash")


async def test_what_a_kill_leaves_counts_from_the_first_moment(tmp_path: Path, sim: Controls) -> None:
    """SIGKILL with requests in every state; the next run holds them all, then settles each to the pico-USD."""
    config = hard_config(tmp_path, sim)
    async with serving(tmp_path, config) as process, AsyncExitStack() as clients:
        await sim.forget()
        assert (await process.ask("POST", CHAT, {"model": MODEL, "messages": MESSAGES})).status == 200
        settled, _ = await figures(process)
        await sim.behave("all", stop_at="after_chunks", stop_after=3, stop_with="hang")
        for stream in (True, True, False):
            client = await clients.enter_async_context(await connect(process.port))
            fields = {"model": MODEL, "messages": MESSAGES, "max_tokens": 500, "stream": stream}
            await client.send(request_bytes("POST", CHAT, fields, token=process.token))
            if stream:
                await client.read_until(b'"content"')

        async def all_arrived() -> bool:
            return len(await sim.requests()) == 4

        await eventually(all_arrived)
        used, reserved = await figures(process)
        assert used == settled
        assert reserved > 0
        await sim.behave("path:/generation", error="server-error")
        process.signal(signal.SIGKILL)
        await process.ended()
    await sim.behave("all")
    async with serving(tmp_path, config) as process:
        after_used, after_reserved = await figures(process)
        assert after_used + after_reserved == used + reserved
        limit = settings(sim.url, HARD)["users"]["anna"]["limits"]
        assert limit["cost"] == "$1/day"
        await sim.normal()

        async def nothing_open() -> bool:
            return (await figures(process))[1] == 0

        await eventually(nothing_open)
        assert "hold.without_owner" not in process.stderr()  # they were taken up at the start, not found as lost later
        rows = await asyncio.to_thread(read_rows, tmp_path / "ledger.db", "SELECT * FROM usage ORDER BY request_id")
        assert [row["state"] for row in rows] == ["settled"] * 4
        books = (await sim.books())["generations"]
        for row in rows:
            if row["cost_source"] == "reservation":
                assert row["cost_pusd"] == row["reserved_pusd"]
            else:
                assert row["cost_pusd"] == books[row["generation_id"]]["charged_pusd"]
        assert sum(row["cost_source"] == "generation" for row in rows) >= 2
        assert (await figures(process))[0] == sum(row["cost_pusd"] for row in rows)
        assert await process.stop() == 0


async def test_a_kill_opens_no_room(tmp_path: Path, sim: Controls) -> None:
    """With all of the budget set aside when the kill came, the next run refuses its first request."""
    body = {"model": MODEL, "messages": MESSAGES, "max_tokens": 500}
    config = write_config(tmp_path, settings(sim.url, {"users": {"anna": {"limits": {"cost": "$0.0005"}}}}))
    async with serving(tmp_path, config) as process:
        await sim.behave("all", delay_ms=60_000)
        client = await connect(process.port)
        await client.send(request_bytes("POST", CHAT, body, token=process.token))

        async def arrived() -> bool:
            return bool(await sim.requests())

        await eventually(arrived)
        await sim.behave("path:/generation", error="server-error")
        process.signal(signal.SIGKILL)
        await process.ended()
        await client.close()
    more = {"users": {"anna": {"limits": {"cost": "$0.0005"}}}, "quotas": {"wait_s": 0, "on_over_budget": "refuse"}}
    config = write_config(tmp_path, settings(sim.url, more))
    async with serving(tmp_path, config) as process:
        answer = await ask(process.port, "POST", CHAT, body, token=process.token)
        assert answer.status == 402
        assert await process.stop() == 0
