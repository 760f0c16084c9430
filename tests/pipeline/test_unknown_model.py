"""A mistyped model is 404 with the name that was meant, whatever limits hold; a model of today travels on."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.installation import token_hash_of, token_of
from tests.support.raw import Answer
from tests.support.stand import CHAT, MESSAGES, MODEL, Stand
from tests.support.stand import stand as run_stand

BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": MESSAGES},
    "/v1/messages": {"messages": MESSAGES, "max_tokens": 20},
    "/v1/responses": {"input": "hello"},
    "/v1/completions": {"prompt": "hello"},
    "/v1/embeddings": {"input": "hello"},
}
MISTYPED = {
    "gpt-4o-mini": MODEL,
    "OpenAI/gpt-4o-mini": MODEL,
    "openai/gpt4o-mini": MODEL,
    "house-stile": "house-style",
}
MORE = {
    "users": {
        "hard": {"token_hash": token_hash_of("hard"), "limits": {"cost": "$5/day"}},
        "few": {"token_hash": token_hash_of("few"), "limits": {"cost": "$5/day"}, "models": ["fast", "*g*4o*"]},
    },
    "presets": {"house-style": [MODEL]},
    "providers": {"plain": {"prices": {"own-*": {"input": 1, "output": 1}}}},
}


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with run_stand(tmp_path, MORE) as found:
        yield found


def told(answer: Answer) -> dict[str, Any]:
    error: dict[str, Any] = answer.json()["error"]
    return error


async def test_under_a_hard_limit_at_every_endpoint(stand: Stand) -> None:
    for path, body in BODIES.items():
        for name, meant in MISTYPED.items():
            answer = await stand.ask("POST", path, {"model": name, **body}, token=token_of("hard"))
            assert answer.status == 404, (path, name)
            error = told(answer)
            assert error["code"] == "model_not_found"
            assert f'Did you mean "{meant}"?' in error["message"]
            assert "price" not in error["message"]
    assert await stand.rows() == []
    for path in BODIES:
        assert await stand.sim.requests(path.removeprefix("/v1")) == []


async def test_a_hint_names_only_what_the_user_may_use(stand: Stand) -> None:
    answer = await stand.chat({"model": "openai/gpt4o-mini"}, token=token_of("few"))
    assert f'Did you mean "{MODEL}"?' in told(answer)["message"]
    answer = await stand.chat({"model": "gpt-4o-claude-haiku-4.5"}, token=token_of("few"))
    assert "anthropic" not in told(answer)["message"]


async def test_what_is_like_nothing_may_be_a_model_of_today(stand: Stand) -> None:
    """Under a hard limit it needs a price; else it travels on."""
    answer = await stand.chat({"model": "newmaker/brand-new-thing"}, token=token_of("hard"))
    assert (answer.status, told(answer)["code"]) == (402, "price_unknown")
    assert await stand.sim.requests() == []
    await stand.chat({"model": "openai/gpt-4o-minj"})
    assert len(await stand.sim.requests()) == 1


async def test_a_model_with_a_price_of_the_operators_own_travels_on(stand: Stand) -> None:
    await stand.chat({"model": "plain/own-gpt-4o-mini", "max_tokens": 5}, token=token_of("hard"))
    assert len(await stand.sim.requests()) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_what_the_provider_does_not_know_is_named(stand: Stand, stream: bool) -> None:
    await stand.sim.behave(named="error-invalid-model")
    answer = await stand.chat({"model": "openai/gpt-4o-minj", "stream": stream})
    assert (answer.status, told(answer)["code"]) == (404, "model_not_found")
    assert f'Did you mean "{MODEL}"?' in told(answer)["message"]
    await stand.sim.behave(named="error-invalid-model")
    answer = await stand.chat({"model": "newmaker/brand-new-thing", "stream": stream})
    assert answer.status == 400
    assert "is not a valid model ID" in told(answer)["message"]
    (row, other) = await stand.settled(2)
    assert (row["status"], row["error"], row["cost_pusd"]) == (404, "model_not_found", 0)
    assert other["status"] == 400


async def test_a_list_that_is_not_known_refuses_nothing(stand: Stand) -> None:
    stand.app.model_lists.listing("openrouter").models = {}
    await stand.sim.behave(named="error-invalid-model")
    assert (await stand.chat({"model": "openai/gpt-4o-minj"})).status == 400


async def test_an_unknown_path_says_which_was_meant(stand: Stand) -> None:
    answer = await stand.ask("POST", "/v1/chat/completion", {"model": MODEL, "messages": MESSAGES})
    assert answer.status == 404
    assert f"Did you mean {CHAT}?" in told(answer)["message"]
