"""A bill is asked for with the key that made it: no other account knows of it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.installation import ADMIN_TOKEN, PROVIDER_KEY
from tests.support.stand import Stand, sqlite_ledger
from tests.support.stand import stand as run_stand

SECOND, OWN = "sk-or-v1-" + "0ddba11" * 8, "sk-or-v1-" + "ba5eba11" * 8
KEYS = [{"name": "first", "api_key": PROVIDER_KEY}, {"name": "second", "api_key": SECOND, "priority": 2}]
SLOW: dict[str, Any] = {"completion_tokens": 30, "pace_ms": 20, "provider": "OpenAI"}


@pytest_asyncio.fixture(params=["second key", "own key", "sealed own key"])
async def stand(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stand]:
    more: dict[str, Any] = {"providers": {"openrouter": {"api_key": None, "keys": KEYS, "on_disconnect": "abort"}}}
    more["ledger"] = {"lookup_timeout_s": 3}
    if request.param == "own key":
        more["users"] = {"anna": {"provider_keys": {"openrouter": OWN}}}
    async with run_stand(tmp_path, more) as found:
        if request.param == "second key":
            await found.sim.behave(error="user-not-found")
            assert (await found.chat()).status == 200
            await found.settled()
        if request.param == "sealed own key":
            body = {"provider": "openrouter", "user": "anna", "secret": OWN}
            assert (await found.ask("POST", "/admin/v1/keys", body, token=ADMIN_TOKEN)).status == 201
        yield found


async def hang_up(stand: Stand) -> dict[str, Any]:
    """Give the row of a stream that its client left in the middle."""
    before = len(await stand.rows())
    await stand.sim.behave(**SLOW)
    client = await stand.begin_chat({"stream": True})
    await client.read_until(b'"content"')
    await client.hang_up()
    return (await stand.settled(before + 1))[-1]


async def test_what_was_hung_up_on_is_asked_for_with_its_own_key(stand: Stand) -> None:
    row = await hang_up(stand)
    assert (row["cost_source"], row["flags"]) == ("generation", "client_gone")
    booked = sum(one["cost_pusd"] for one in await stand.rows())
    assert booked == (await stand.sim.books())["total_pusd"]


async def test_after_a_restart_the_key_is_found_by_its_name(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    pending = stand.app.pending
    monkeypatch.setattr(stand.app.services, "look_up_later", lambda id_, _: pending.look_up_later(id_))
    row = await hang_up(stand)
    assert row["cost_source"] == "generation"


async def test_where_the_key_is_gone_the_others_are_tried(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have another name by now: what knows nothing of it proves nothing."""
    pending, attempts = stand.app.pending, "SELECT key FROM attempts ORDER BY request_id DESC, n DESC LIMIT 1"

    async def renamed() -> None:
        def change(connection: Any) -> None:
            connection.execute("UPDATE attempt_rows SET key = 'of-yesterday'")
            connection.execute("UPDATE requests SET key = 'of-yesterday'")

        await sqlite_ledger(stand.app).change(change)

    def later(id_: int, _: Any) -> None:
        tasks.append(asyncio.ensure_future(soon(id_)))

    async def soon(id_: int) -> None:
        await renamed()
        pending.look_up_later(id_)

    tasks: list[asyncio.Task[None]] = []
    monkeypatch.setattr(stand.app.services, "look_up_later", later)
    row = await hang_up(stand)
    assert (await stand.rows(attempts))[0]["key"] == "of-yesterday"
    is_own = stand.app.live.current.directory.own_keys("anna", None)
    assert row["cost_source"] == ("reservation" if is_own else "generation")
