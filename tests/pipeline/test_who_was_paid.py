"""Rows remember who was paid for an answer: the key, an own key behind the provider, its bill. Nothing is made up."""

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from proxy.core.money import usd_to_pusd
from tests.support.installation import ADMIN_TOKEN, PROVIDER_KEY
from tests.support.stand import MESSAGES, MODEL, Stand
from tests.support.stand import stand as run_stand

SECOND = "sk-or-v1-" + "0ddba11" * 8
KEYS = [{"name": "first", "api_key": PROVIDER_KEY}, {"name": "second", "api_key": SECOND, "priority": 2}]
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": MESSAGES},
    "/v1/responses": {"input": "Say something."},
    "/v1/messages": {"messages": MESSAGES, "max_tokens": 50},
    "/v1/embeddings": {"input": "Say something."},
}
OF_ATTEMPTS = (
    "SELECT n, key, key_hash, is_byok, upstream_cost_pusd, endpoint_id, permaslug, cost_pusd FROM attempts"
    " ORDER BY request_id, n"
)


def hashed(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    provider = {"api_key": None, "keys": KEYS, "on_disconnect": "abort"}
    more = {"providers": {"openrouter": provider}, "ledger": {"lookup_timeout_s": 3}}
    async with run_stand(tmp_path_factory.mktemp("paid"), more) as found:
        yield found


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("path", BODIES)
async def test_an_answer_tells_who_paid(stand: Stand, path: str) -> None:
    """Streamed or whole, with an own key or without, and where the answer does not say."""
    await stand.clear()
    model = "openai/text-embedding-3-small" if path.endswith("embeddings") else MODEL
    ways = [(streamed, own) for streamed in (False, True) for own in ("byok", "lent", "untold")]
    ways = [way for way in ways if not (way[0] and path.endswith("embeddings"))]
    charged: list[int] = []
    for streamed, own in ways:
        await stand.sim.behave(byok=own == "byok", is_byok_missing=own == "untold", provider="OpenAI")
        answer = await stand.ask("POST", path, {"model": model, **BODIES[path], "stream": streamed})
        assert answer.status == 200
        row = (await stand.settled(len(charged) + 1))[-1]
        generation = list((await stand.sim.books())["generations"].values())[-1]
        charged.append(generation["charged_pusd"])
        assert row["key_hash"] == hashed(PROVIDER_KEY)
        assert row["is_byok"] == {"byok": 1, "lent": 0, "untold": None}[own]
        if own == "byok":
            assert row["upstream_cost_pusd"] == generation["upstream_pusd"] > 0
        elif row["upstream_cost_pusd"] is not None:
            assert row["upstream_cost_pusd"] == usd_to_pusd(generation["cost_literal"])[0]
        assert (row["endpoint_id"], row["permaslug"]) == (None, None)
        assert row["cost_pusd"] == generation["charged_pusd"]
    assert [one["n"] for one in await stand.rows(OF_ATTEMPTS)] == [1] * len(ways)


@pytest.mark.asyncio(loop_scope="module")
async def test_each_attempt_remembers_its_own_key(stand: Stand) -> None:
    await stand.clear()
    await stand.sim.behave(error="user-not-found")
    assert (await stand.chat()).status == 200
    [row] = await stand.settled()
    first, second = await stand.rows(OF_ATTEMPTS)
    assert (first["key"], first["key_hash"]) == ("first", hashed(PROVIDER_KEY))
    assert (second["key"], second["key_hash"]) == ("second", hashed(SECOND)) == ("second", row["key_hash"])
    assert (first["is_byok"], first["upstream_cost_pusd"]) == (None, None)
    assert (second["is_byok"], row["is_byok"]) == (0, 0)
    assert row["upstream_cost_pusd"] == second["upstream_cost_pusd"]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("is_byok", [True, False])
async def test_a_record_tells_what_the_answer_could_not(stand: Stand, is_byok: bool) -> None:
    """The provider's record of a stream that was left names the endpoint and the model as its bill does."""
    await stand.clear()
    await stand.sim.behave(byok=is_byok, completion_tokens=30, pace_ms=20, provider="OpenAI")
    client = await stand.begin_chat({"stream": True})
    await client.read_until(b'"content"')
    await client.hang_up()
    [row] = await stand.settled()
    [attempt] = await stand.rows(OF_ATTEMPTS)
    [generation] = (await stand.sim.books())["generations"].values()
    assert row["cost_source"] == "generation"
    assert row["cost_pusd"] == generation["charged_pusd"]
    assert row["is_byok"] == attempt["is_byok"] == is_byok
    assert row["upstream_cost_pusd"] == (generation["upstream_pusd"] if is_byok else None)
    assert row["permaslug"] == attempt["permaslug"] == "openai/gpt-4o-mini-2024-07-18"
    assert len(row["endpoint_id"]) == 36
    shown = await stand.ask("GET", f"/admin/v1/requests/{row['request_id']}", token=ADMIN_TOKEN)
    [told] = shown.json()["data"]["attempts"]
    assert (told["is_byok"], told["key_hash"]) == (is_byok, hashed(PROVIDER_KEY))
    assert (told["endpoint_id"], told["permaslug"]) == (row["endpoint_id"], row["permaslug"])
    assert told["upstream_cost_pusd"] == row["upstream_cost_pusd"]
