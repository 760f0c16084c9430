"""An answer whenever one can be had: the settings are those that everybody has."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.installation import token_hash_of, token_of
from tests.support.stand import Stand
from tests.support.stand import stand as run_stand

OWN = "sk-or-v1-" + "ba5eba11" * 8
SIX = [f"openai/{name}" for name in ("gpt-5", "gpt-5-mini", "gpt-5-nano", "gpt-4o", "gpt-4.1-mini", "gpt-4o-mini")]
DEFAULT = {"retry": None, "breaker": None}  # takes out what other stands set
ATTEMPTS = "SELECT * FROM attempts ORDER BY request_id, n"


@pytest_asyncio.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    presets = {"seven": [*SIX, "plain/gpt-4o-mini"], "two": SIX[-2:]}
    ben = {"ben": {"token_hash": token_hash_of("ben")}}
    more = {"providers": {"openrouter": DEFAULT, "plain": DEFAULT}, "presets": presets, "users": ben}
    async with run_stand(tmp_path, more) as found:
        yield found


async def test_six_that_are_overloaded_cost_the_seventh_nothing(stand: Stand) -> None:
    for model in SIX:
        await stand.sim.behave(f"model:{model}", error="overloaded", retry_after="5")
    for n in range(3):
        for stream in (False, True):
            answer = await stand.chat({"model": "seven", "stream": stream})
            assert (answer.status, answer.header("x-tollkeeper-provider")) == (200, "plain"), n
    rows = await stand.settled(6)
    assert all(row["duration_ms"] < 5000 for row in rows), "no wait was kept"
    attempts = await stand.rows(ATTEMPTS)
    assert len({(one["request_id"], one["model"], one["provider"]) for one in attempts}) == len(attempts)


async def test_the_seventh_is_asked_whatever_the_others_fail_by(stand: Stand) -> None:
    """Ten attempts are fewer than six targets with two retries each."""
    errors = ["overloaded", "server-error", "provider-error", "free-per-minute", "edge-timeout", "bad-parameter"]
    for model, error in zip(SIX, errors[:5], strict=False):
        await stand.sim.behave(f"model:{model}", error=error)
    await stand.sim.behave(f"model:{SIX[5]}", error="context-length")
    answer = await stand.chat({"model": "seven"})
    assert (answer.status, answer.header("x-tollkeeper-attempts")) == (200, "7")


async def test_one_overloaded_model_costs_no_wait(stand: Stand) -> None:
    await stand.sim.behave(f"model:{SIX[-2]}", error="overloaded", retry_after="5")
    answer = await stand.chat({"model": "two"})
    assert (answer.status, answer.header("x-tollkeeper-model")) == (200, SIX[-1])
    (row,) = await stand.settled()
    assert row["duration_ms"] < 5000


async def test_when_all_have_failed_the_one_that_waits_least_comes_first(stand: Stand) -> None:
    first, second = SIX[-2:]
    await stand.sim.behave(error="overloaded", retry_after="15")
    await stand.sim.behave(error="overloaded", retry_after="0.1")
    answer = await stand.chat({"model": "two"})
    assert (answer.status, answer.header("x-tollkeeper-model")) == (200, second)
    assert [one["model"] for one in await stand.rows(ATTEMPTS)] == [first, second, second]


async def test_a_wait_is_told_when_a_route_is_exhausted(stand: Stand) -> None:
    first, second = SIX[-2:]
    await stand.sim.behave(f"model:{first}", error="upstream-rate-limit", retry_after="45")
    await stand.sim.behave(f"model:{second}", error="overloaded", retry_after="300")
    answer = await stand.chat({"model": "two"})
    assert (answer.status, answer.header("retry-after")) == (503, "45")
    again = await stand.chat({"model": "two"})
    assert again.status == 503
    asked = [one["model"] for one in await stand.rows(ATTEMPTS)]
    assert asked == [first, second, second], "who was told to wait is not asked meanwhile"


@pytest.mark.parametrize("error", ["server-error", "html-503", "html-403"])
async def test_one_users_requests_take_a_provider_from_nobody(stand: Stand, error: str) -> None:
    """Pictures that a server breaks on, each another one; before, between and after them others are served."""

    async def of_ben() -> int:
        return (await stand.chat({"model": "plain/gpt-4o-mini"}, token=token_of("ben"))).status

    assert await of_ben() == 200
    for n in range(12):
        await stand.sim.behave("all", error=error)
        assert (await stand.chat({"model": "plain/gpt-4o-mini", "seed": n})).status != 200
        await stand.sim.normal()
        if n == 6:
            assert await of_ben() == 200, "six failures in a row"
    assert await of_ben() == 200


async def test_a_provider_that_fails_for_two_users_is_left_alone(stand: Stand) -> None:
    await stand.sim.behave("all", error="html-503")
    for n in range(5):
        await stand.chat({"model": "plain/gpt-4o-mini", "seed": n}, token=token_of("anna" if n % 2 else "ben"))
    asked = len(await stand.sim.requests())
    assert (await stand.chat({"model": "plain/gpt-4o-mini"})).json()["error"]["code"] == "upstream_resting"
    assert len(await stand.sim.requests()) == asked


async def test_keys_of_users_own_shut_out_nobody_else(tmp_path: Path) -> None:
    """What they have no more room for says nothing of the operator's key."""
    own = {name: {"token_hash": token_hash_of(name), "provider_keys": {"openrouter": OWN}} for name in ("anna", "carl")}
    more = {"providers": {"openrouter": DEFAULT}, "users": {**own, "ben": {"token_hash": token_hash_of("ben")}}}
    async with run_stand(tmp_path, more) as stand:
        said = '{"error":{"code":429,"message":"Rate limit reached for your organization"}}'
        head = f"HTTP/1.1 429 Too Many\r\nContent-Type: application/json\r\nContent-Length: {len(said)}\r\n\r\n"
        await stand.sim.behave("all", raw_response=head + said)
        for n in range(8):
            assert (await stand.chat({"seed": n}, token=token_of("anna" if n % 2 else "carl"))).status in (429, 503)
        await stand.sim.normal()
        assert (await stand.chat(token=token_of("ben"))).status == 200
