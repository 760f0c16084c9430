"""Bodies without a model, default parameters, fallback off, cheapest first: on both ways in, at every endpoint."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.installation import token_hash_of, token_of
from tests.support.stand import MESSAGES, Stand
from tests.support.stand import stand as run_stand

DEAR, CHEAP = "openai/gpt-4o", "openai/gpt-5-nano"
USERS: dict[str, Any] = {
    "plain": {},
    "member": {"group": "team"},
    "below": {"group": "crew"},
    "own": {"group": "team", "models": ["*"], "default_model": CHEAP, "parameters": {"temperature": 1}},
    "alone": {"fallback": "off"},
    "frugal": {"cheapest": True},
    "barred": {"default_model": DEAR, "models": ["openai/gpt-5-*"]},
    "texter": {"use_cases": {"sms": "two"}},
}
MORE = {
    "presets": {"two": [DEAR, CHEAP], "sms": {"targets": [DEAR], "defaults": {"temperature": 0.5}}},
    "use_cases": {"sms": "sms"},
    "groups": {
        "team": {"default_preset": "two", "parameters": {"temperature": 0, "seed": 7}, "models": ["two", "sms"]},
        "crew": {"parent": "team", "parameters": {"temperature": 2}},
    },
    "users": {name: {"token_hash": token_hash_of(name), **more} for name, more in USERS.items()},
}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": MESSAGES},
    "/v1/completions": {"prompt": "Hi"},
    "/v1/responses": {"input": "Hi"},
    "/v1/messages": {"messages": MESSAGES, "max_tokens": 20},
    "/v1/messages/count_tokens": {"messages": MESSAGES},
}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stand(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    folder: Path = tmp_path_factory.mktemp("preferred")
    async with run_stand(folder, MORE) as found:
        yield found


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def asked(stand: Stand, user: str, body: dict[str, Any], path: str = "/v1/chat/completions", **more: Any) -> Any:
    await stand.sim.forget()
    return await stand.ask("POST", path, body, token=token_of(user), **more)


async def arrived(stand: Stand) -> list[dict[str, Any]]:
    return [json.loads(one["body"]) for one in await stand.sim.requests()]


@pytest.mark.parametrize("missing", [{}, {"model": None}, {"model": ""}], ids=["missing", "null", "empty"])
@pytest.mark.parametrize("path", BODIES)
async def test_a_body_without_a_model_goes_to_the_nearest_default(
    stand: Stand, path: str, missing: dict[str, Any]
) -> None:
    body = {**BODIES[path], **missing}
    for user, model in (("member", DEAR), ("own", CHEAP)):
        answer = await asked(stand, user, body, path)
        assert (answer.status, answer.header("x-tollkeeper-model")) == (200, model), answer.body
    answer = await asked(stand, "plain", body, path)
    error = answer.json()["error"]
    assert (answer.status, error["param"]) == (400, "model")
    assert "default_model" in error["message"]


async def test_the_general_path_fills_in_the_same(stand: Stand) -> None:
    answer = await asked(stand, "member", {"messages": MESSAGES}, headers=[("Connection", "close")])
    assert (answer.status, answer.header("x-tollkeeper-model")) == (200, DEAR)


async def test_a_default_that_the_user_may_not_use_is_refused(stand: Stand) -> None:
    answer = await asked(stand, "barred", {"messages": MESSAGES})
    assert (answer.status, answer.json()["error"]["code"]) == (403, "model_not_allowed")


async def test_parameters_go_under_what_the_client_and_the_preset_say(stand: Stand) -> None:
    await asked(stand, "own", {"messages": MESSAGES, "seed": 1})
    (sent,) = await arrived(stand)
    assert (sent["temperature"], sent["seed"]) == (1, 1)
    await asked(stand, "member", {"model": "sms", "messages": MESSAGES})
    (sent,) = await arrived(stand)
    assert (sent["temperature"], sent["seed"]) == (0.5, 7)
    await asked(stand, "plain", {"model": CHEAP, "messages": MESSAGES})
    (sent,) = await arrived(stand)
    assert not {"temperature", "seed"} & set(sent)


async def test_a_group_has_what_those_above_it_say(stand: Stand) -> None:
    answer = await asked(stand, "below", {"messages": MESSAGES})
    assert (answer.status, answer.header("x-tollkeeper-model")) == (200, DEAR)
    (sent,) = await arrived(stand)
    assert (sent["temperature"], sent["seed"]) == (2, 7)
    assert (await asked(stand, "below", {"model": CHEAP, "messages": MESSAGES})).status == 403


async def test_a_use_case_leads_to_the_users_own_preset(stand: Stand) -> None:
    header = [("X-Tollkeeper-Use-Case", "sms")]
    for user, body, model in (
        ("texter", {"model": "openai/gpt-4o-mini"}, DEAR),
        ("texter", {}, DEAR),
        ("plain", {}, DEAR),
    ):
        answer = await asked(stand, user, {**body, "messages": MESSAGES}, headers=header)
        assert (answer.status, answer.header("x-tollkeeper-model")) == (200, model)
    rows = await stand.rows("SELECT requested_model FROM usage ORDER BY request_id DESC LIMIT 3")
    assert [row["requested_model"] for row in rows] == ["sms", "two", "openai/gpt-4o-mini"]


async def test_without_fallback_only_the_first_target_is_asked(stand: Stand) -> None:
    await stand.sim.behave(f"model:{DEAR}", error="server-error")
    assert (await asked(stand, "plain", {"model": "two", "messages": MESSAGES})).status == 200
    answer = await asked(stand, "alone", {"model": "two", "messages": MESSAGES})
    assert answer.status >= 500
    assert {one["model"] for one in await arrived(stand)} == {DEAR}
    answer = await asked(stand, "alone", {"model": "two", "models": [CHEAP], "messages": MESSAGES})
    assert (answer.status, answer.header("x-tollkeeper-model")) == (200, CHEAP)
    await stand.reset()


async def test_cheapest_first_turns_a_route_round(stand: Stand) -> None:
    answer = await asked(stand, "frugal", {"model": "two", "messages": MESSAGES})
    assert answer.header("x-tollkeeper-model") == CHEAP
    explained = (await asked(stand, "frugal", {"model": "two", "messages": MESSAGES}, "/v1/explain")).json()
    assert (explained["select"], explained["targets"][0]["model"]) == ("cheapest", CHEAP)


async def test_explain_says_what_is_left_out_and_needs_no_model_either(stand: Stand) -> None:
    explained = (await asked(stand, "alone", {"model": "two", "messages": MESSAGES}, "/v1/explain")).json()
    assert [one["model"] for one in explained["targets"]] == [DEAR]
    assert [(one["model"], one["reason"]) for one in explained["left_out"]] == [(CHEAP, "fallback is off")]
    assert (await asked(stand, "member", {"messages": MESSAGES}, "/v1/explain")).json()["requested_model"] == "two"
