"""Models and providers that the operator disables or prices, in the file and at run time."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from proxy.storage.audit import Actor
from tests.support.installation import token_hash_of, token_of
from tests.support.raw import Answer
from tests.support.stand import MESSAGES, Stand
from tests.support.stand import stand as run_stand

DEAR, CHEAP, OFF = "openai/gpt-4o", "openai/gpt-5-nano", "openai/gpt-4.1-nano"
FEE_PUSD = 3 * 10**9
SPENDERS = {"eve": "openai/gpt-5-mini", "max": "plain/gpt-4o-mini", "ida": "half"}
MORE: dict[str, Any] = {
    "models": {
        OFF: {"enabled": False},
        "openai/gpt-5-mini": {"request_price": "0.003", "price": {"input": 1, "output": 2}},
        "plain/*": {"request_price": "0.003"},
    },
    "presets": {"two": [DEAR, CHEAP], "half": [OFF, CHEAP], "none": [OFF]},
    "users": {
        "bo": {"token_hash": token_hash_of("bo"), "limits": {"cost": "$1/day"}},
        **{name: {"token_hash": token_hash_of(name), "limits": {"cost": "$0.0155/total"}} for name in SPENDERS},
    },
    "quotas": {"wait_s": 0},
}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stand(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    async with run_stand(tmp_path_factory.mktemp("registry"), MORE) as found:
        yield found


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def say(stand: Stand, noun: str, name: str, **changes: Any) -> None:
    fields = {"name": name, "changes": changes}
    await stand.app.change(f"{noun}.set", now_ms=1, actor=Actor("test", "command line"), fields=fields)


async def chat(stand: Stand, model: str, **body: Any) -> Answer:
    body = {"model": model, "messages": MESSAGES, "max_tokens": 50, **body}
    return await stand.ask("POST", "/v1/chat/completions", body, token=token_of("bo"))


async def listed(stand: Stand) -> set[str]:
    return {model["id"] for model in (await stand.ask("GET", "/v1/models")).json()["data"]}


async def test_what_the_file_disables_is_refused_by_name_and_left_out(stand: Stand) -> None:
    for model in (OFF, "none", f"openrouter/{OFF}"):
        answer = await chat(stand, model)
        assert (answer.status, answer.json()["error"]["code"]) == (404, "model_disabled"), model
    answer = await chat(stand, "half")
    assert (answer.status, answer.header("x-tollkeeper-model")) == (200, CHEAP)
    assert not {OFF, "none"} & await listed(stand)
    answer = await chat(stand, DEAR, models=[OFF, CHEAP])
    assert answer.status == 200
    explained = await stand.ask("POST", "/v1/explain", {"model": "half", "messages": MESSAGES})
    assert [(one["model"], one["reason"]) for one in explained.json()["left_out"]] == [
        (OFF, f"disabled by models.{OFF}.enabled")
    ]


async def test_a_model_is_disabled_and_enabled_while_the_proxy_runs(stand: Stand) -> None:
    await say(stand, "models", "openai/gpt-4*", enabled=False)
    assert (await chat(stand, DEAR)).json()["error"]["code"] == "model_disabled"
    assert (await chat(stand, "two")).header("x-tollkeeper-model") == CHEAP
    assert DEAR not in await listed(stand)
    await say(stand, "models", "openai/gpt-4*", enabled=None)
    assert (await chat(stand, DEAR)).status == 200
    assert (await chat(stand, OFF)).json()["error"]["code"] == "model_disabled", "the file's word stands"


async def test_a_provider_is_disabled_while_the_proxy_runs(stand: Stand) -> None:
    assert (await chat(stand, "plain/gpt-4o-mini")).status == 200
    await say(stand, "providers", "plain", enabled=False)
    answer = await chat(stand, "plain/gpt-4o-mini")
    assert (answer.status, answer.json()["error"]["code"]) == (404, "model_disabled")
    assert "providers.plain.enabled" in answer.json()["error"]["message"]
    assert not any(name.startswith("plain/") for name in await listed(stand))
    await say(stand, "providers", "plain", enabled=None)
    assert (await chat(stand, "plain/gpt-4o-mini")).status == 200


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["openai/gpt-5-mini", "plain/gpt-4o-mini", "google/gemini-2.5-flash"])
async def test_the_price_of_a_request_is_held_and_booked_on_top(stand: Stand, model: str, stream: bool) -> None:
    """By a provider that tells its cost, and by one whose tokens have a price; of the file and of the database."""
    await say(stand, "models", "google/*", request_price="0.003")
    await stand.clear()
    await stand.sim.forget()
    assert (await chat(stand, model, stream=stream)).status == 200
    (row,) = await stand.settled()
    assert row["cost_pusd"] == (await stand.sim.books())["total_pusd"] + FEE_PUSD
    assert row["cost_pusd"] <= row["reserved_pusd"]
    assert "request_price" in row["flags"].split()


@pytest.mark.parametrize(("user", "model"), SPENDERS.items())
async def test_no_burst_passes_a_limit_by_the_price_of_requests(stand: Stand, user: str, model: str) -> None:
    """The limit has room for five times what is asked for a request, and for little of what the provider charges."""
    await stand.clear()
    await say(stand, "models", CHEAP, request_price="0.003")
    body = {"model": model, "messages": MESSAGES, "max_tokens": 50}
    asked = [stand.ask("POST", "/v1/chat/completions", body, token=token_of(user)) for _ in range(20)]
    statuses = [answer.status for answer in await asyncio.gather(*asked)]
    let_in = statuses.count(200)
    assert set(statuses) <= {200, 402}
    assert 1 <= let_in <= 5
    rows = await stand.settled(let_in)
    assert sum(row["cost_pusd"] for row in rows) <= 15_500_000_000
    assert all(row["cost_pusd"] > FEE_PUSD for row in rows)
    await say(stand, "models", CHEAP, request_price=None)


async def test_the_price_of_a_request_is_looked_up_with_the_rest(stand: Stand) -> None:
    await stand.clear()
    await stand.sim.forget()
    await stand.sim.behave(usage="missing")
    assert (await chat(stand, "openai/gpt-5-mini")).status == 200
    (row,) = await stand.settled()
    assert row["cost_source"] == "generation"
    assert row["cost_pusd"] == (await stand.sim.books())["total_pusd"] + FEE_PUSD


async def test_the_file_decides_before_the_database(stand: Stand) -> None:
    await say(stand, "models", "openai/gpt-5-mini", request_price="7")
    rules = stand.app.live.current.providers["openrouter"].rules
    assert rules is not None
    assert rules.request_pusd("openai/gpt-5-mini") == FEE_PUSD
    await say(stand, "models", "openai/gpt-5-mini", request_price=None)
