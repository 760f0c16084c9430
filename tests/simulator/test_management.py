"""The paths that cost nothing: models, look-up, key, credits, activity, keys."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from openrouter import components
from openrouter import operations as ops

from proxy.simulator.prices import CATALOGUE

CHAT = "/api/v1/chat/completions"
BODY = {"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "Say something."}]}
DAY_S = 86_400


async def test_models_is_valid_and_shows_every_kind_of_price(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v1/models")
    body = answer.json()
    components.ModelsListResponse.model_validate(body)
    assert "object" not in body
    listed = {model["id"]: model["pricing"] for model in body["data"]}
    assert listed["openai/gpt-4o-mini"] == {
        "prompt": "0.00000015",
        "completion": "0.0000006",
        "input_cache_read": "0.000000075",
    }
    assert listed["openrouter/auto"] == {"prompt": "-1", "completion": "-1"}
    assert listed["deepseek/deepseek-v3.2:free"]["prompt"] == "0"
    assert listed["google/gemini-2.5-flash"]["input_cache_write"] == "0.0000000833"
    (override,) = listed["anthropic/claude-sonnet-4.5"]["overrides"]
    assert override["min_prompt_tokens"] == 200_000
    assert override["completion"] == "0.0000225"
    assert "openai/text-embedding-3-small" not in listed
    assert len((await client.get("/api/v1/models?output_modalities=all")).json()["data"]) == len(CATALOGUE)
    assert len((await client.get("/api/v1/embeddings/models")).json()["data"]) == 3


async def test_endpoints_of_a_model(client: httpx.AsyncClient) -> None:
    for name in ("openai/gpt-4o-mini", "openai%2Fgpt-4o-mini", "anthropic/claude-4.5-sonnet-20250929"):
        answer = await client.get(f"/api/v1/models/{name}/endpoints")
        components.ListEndpointsResponse.model_validate(answer.json()["data"])
        assert answer.json()["data"]["endpoints"][0]["provider_name"] in {"OpenAI", "Anthropic"}
    assert (await client.get("/api/v1/models/no/such/endpoints")).status_code == 404


async def test_generation_is_found_after_its_delay(client: httpx.AsyncClient) -> None:
    fields = json.dumps({"generation_delay_ms": 150})
    made = (await client.post(CHAT, json=BODY, headers={"X-Sim-Behaviour": fields})).json()
    url = f"/api/v1/generation?id={made['id']}"
    assert (await client.get(url)).status_code == 404
    await asyncio.sleep(0.2)
    found = await client.get(url)
    components.GenerationResponse.model_validate(found.json())
    assert found.json()["data"]["total_cost"] == made["usage"]["cost"]
    assert found.json()["data"]["native_tokens_completion"] == 16
    stranger = {"Authorization": "Bearer sk-or-v1-another"}
    assert (await client.get(url, headers=stranger)).status_code == 404


@pytest.mark.parametrize(
    ("name", "status"), [("generation-missing", 404), ("generation-failing", 500), ("generation-other-id", 200)]
)
async def test_generation_can_fail(client: httpx.AsyncClient, name: str, status: int) -> None:
    made = (await client.post(CHAT, json=BODY, headers={"X-Sim-Behaviour": name})).json()
    found = await client.get(f"/api/v1/generation?id={made['id']}")
    assert found.status_code == status
    if status == 200:
        assert found.json()["data"]["id"] != made["id"]


# the official package marks rate_limit as deprecated and warns about every answer that has it
@pytest.mark.filterwarnings("ignore:.*DEPRECATED:DeprecationWarning")
@pytest.mark.parametrize("path", ["key", "auth/key"])
async def test_key_tells_what_it_spent(client: httpx.AsyncClient, path: str) -> None:
    cost = (await client.post(CHAT, json=BODY)).json()["usage"]["cost"]
    body = (await client.get(f"/api/v1/{path}")).json()
    ops.GetCurrentKeyResponse.model_validate(body)
    for name in ("usage", "usage_daily", "usage_weekly", "usage_monthly"):
        assert body["data"][name] == cost
    assert body["data"]["limit"] is None
    await client.post("/_sim/clock", json={"advance_s": 40 * DAY_S})
    later = (await client.get(f"/api/v1/{path}")).json()["data"]
    assert (later["usage"], later["usage_daily"], later["usage_monthly"]) == (cost, 0, 0)


async def test_credits_are_for_management_keys(client: httpx.AsyncClient, manager: dict[str, str]) -> None:
    cost = (await client.post(CHAT, json=BODY)).json()["usage"]["cost"]
    refused = await client.get("/api/v1/credits")
    assert refused.status_code == 403
    assert refused.json()["error"]["message"] == "Only management keys can perform this operation"
    body = (await client.get("/api/v1/credits", headers=manager)).json()
    ops.GetCreditsResponse.model_validate(body)
    assert body["data"] == {"total_credits": 1000, "total_usage": cost}
    assert (await client.post(CHAT, json=BODY, headers=manager)).status_code == 403


async def test_activity_shows_completed_days(client: httpx.AsyncClient, manager: dict[str, str]) -> None:
    costs = [(await client.post(CHAT, json=BODY)).json()["usage"]["cost"] for _ in range(3)]
    today = await client.get("/api/v1/activity?date=2026-11-01", headers=manager)
    assert today.status_code == 400
    assert (await client.get("/api/v1/activity", headers=manager)).json() == {"data": []}
    await client.post("/_sim/clock", json={"advance_s": DAY_S})
    body = (await client.get("/api/v1/activity?date=2026-11-01", headers=manager)).json()
    components.ActivityResponse.model_validate(body)
    (row,) = body["data"]
    assert (row["date"], row["requests"], row["completion_tokens"]) == ("2026-11-01", 3, 48)
    assert row["model_permaslug"] == "openai/gpt-4o-mini-2024-07-18"
    assert row["usage"] == pytest.approx(sum(costs))
    assert (await client.get("/api/v1/activity")).status_code == 403
    await client.post("/_sim/clock", json={"advance_s": 31 * DAY_S})
    assert (await client.get("/api/v1/activity", headers=manager)).json() == {"data": []}


async def test_keys_are_made_changed_and_removed(client: httpx.AsyncClient, manager: dict[str, str]) -> None:
    asked = {"name": "family", "limit": 0.000005, "limit_reset": "daily"}
    made = await client.post("/api/v1/keys", json=asked, headers=manager)
    assert made.status_code == 201
    ops.CreateKeysResponse.model_validate(made.json())
    secret, hashed = made.json()["key"], made.json()["data"]["hash"]
    own = {"Authorization": f"Bearer {secret}"}
    assert (await client.post(CHAT, json=BODY, headers=own)).status_code == 200
    limited = await client.post(CHAT, json=BODY, headers=own)
    assert limited.status_code == 403
    assert limited.json()["error"]["message"].startswith("Key limit exceeded (daily limit)")
    await client.post("/_sim/clock", json={"advance_s": DAY_S})
    assert (await client.post(CHAT, json=BODY, headers=own)).status_code == 200
    ops.ListResponse.model_validate((await client.get("/api/v1/keys", headers=manager)).json())

    changed = await client.patch(f"/api/v1/keys/{hashed}", json={"limit": None, "disabled": True}, headers=manager)
    assert changed.json()["data"]["limit"] is None
    assert (await client.post(CHAT, json=BODY, headers=own)).status_code == 401
    assert (await client.get("/api/v1/keys", headers=manager)).json()["data"] == []
    assert len((await client.get("/api/v1/keys?include_disabled=true", headers=manager)).json()["data"]) == 1
    assert (await client.delete(f"/api/v1/keys/{hashed}", headers=manager)).json() == {"deleted": True}
    assert (await client.get(f"/api/v1/keys/{hashed}", headers=manager)).status_code == 404


@pytest.mark.parametrize(
    "fields",
    [{}, {"name": ""}, {"name": "x", "limit": -1}, {"name": "x", "limit": "5"}, {"name": "x", "limit_reset": 1}],
)
async def test_wrong_fields_of_a_key_are_named(
    client: httpx.AsyncClient, manager: dict[str, str], fields: dict[str, Any]
) -> None:
    answer = await client.post("/api/v1/keys", json=fields, headers=manager)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].split(":")[0] in {"name", "limit", "limit_reset"}


async def test_faults_can_be_set_for_a_path(client: httpx.AsyncClient) -> None:
    await client.post("/_sim/behaviour", json={"for": "path:/models", "error": "html-503"})
    broken = await client.get("/api/v1/models")
    assert broken.status_code == 503
    await client.post("/_sim/behaviour", json={"for": "path:/models", "body": '{"data":['})
    assert (await client.get("/api/v1/models")).text == '{"data":['
    await client.delete("/_sim/behaviour")
    assert (await client.get("/api/v1/models")).status_code == 200


async def test_messages_and_count_tokens(client: httpx.AsyncClient) -> None:
    asked = {"model": "anthropic/claude-haiku-4.5", "max_tokens": 50, "messages": BODY["messages"]}
    whole = (await client.post("/api/v1/messages", json=asked)).json()
    assert (whole["type"], whole["stop_reason"]) == ("message", "end_turn")
    assert whole["usage"]["output_tokens"] == 16
    streamed = (await client.post("/api/v1/messages", json={**asked, "stream": True})).text
    blocks = [block.split("\n") for block in streamed.strip().split("\n\n")]
    events = [(lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: "))) for lines in blocks]
    assert [name for name, _ in events][:3] == ["message_start", "ping", "content_block_start"]
    assert [name for name, _ in events][-2:] == ["message_delta", "message_stop"]
    words = "".join(e["delta"]["text"] for name, e in events if name == "content_block_delta")
    assert words == whole["content"][0]["text"]
    assert events[-2][1]["usage"]["cost"] == whole["usage"]["cost"]
    before = (await client.get("/_sim/books")).json()["requests"]
    counted = await client.post("/api/v1/messages/count_tokens", json=asked)
    assert counted.json() == {"input_tokens": whole["usage"]["input_tokens"]}
    assert (await client.get("/_sim/books")).json()["requests"] == before
    wrong = await client.post("/api/v1/messages", json={**asked, "model": "no/such"})
    assert wrong.json()["error"]["type"] == "invalid_request_error"


async def test_unknown_paths_are_404(client: httpx.AsyncClient) -> None:
    for path in ("/", "/api/v1/nothing", "/openai/v1/nothing", "/api/v1/v1/models"):
        assert (await client.get(path)).status_code == 404


# as above: the official package warns about rate_limit
@pytest.mark.filterwarnings("ignore:.*DEPRECATED:DeprecationWarning")
async def test_budgets_are_shown_in_their_order_and_refuse_once_they_are_spent(client: httpx.AsyncClient) -> None:
    cost_pusd = 10_050_000
    budgets = [
        {"scope": "workspace", "limit_pusd": 10 * cost_pusd, "reset": "monthly"},
        {"scope": "api_key", "limit_pusd": 2 * cost_pusd, "reset": "daily"},
    ]
    answer = await client.post("/_sim/account", json={"budgets": budgets, "total_credits_pusd": 5 * 10**12})
    assert answer.status_code == 200, answer.text
    assert (await client.post(CHAT, json=BODY)).json()["usage"]["cost"] == cost_pusd / 1e12
    data = (await client.get("/api/v1/key")).json()
    ops.GetCurrentKeyResponse.model_validate(data)
    first, second = data["data"]["budgets"]
    assert (first["scope"], first["spend_usd"], first["remaining_usd"]) == ("api_key", 1.005e-05, 1.005e-05)
    assert (first["resets_at"], second["resets_at"]) == ("2026-11-02T00:00:00.000Z", "2026-12-01T00:00:00.000Z")
    assert (second["scope"], data["data"]["effective_budget"]) == ("workspace", first)
    await client.post(CHAT, json=BODY)
    refused = await client.post(CHAT, json=BODY)
    assert refused.status_code == 403
    assert refused.json()["error"]["metadata"]["limit_source"] == "openrouter_guardrail_budget"
    assert (await client.get("/api/v1/key")).status_code == 200
    other = {"Authorization": "Bearer sk-or-v1-another"}
    assert (await client.post(CHAT, json=BODY, headers=other)).status_code == 200
    await client.post("/_sim/clock", json={"advance_s": DAY_S})
    assert (await client.post(CHAT, json=BODY)).status_code == 200
    await client.post("/_sim/reset", json={})
    assert (await client.get("/api/v1/key")).json()["data"]["budgets"] == []


@pytest.mark.parametrize(
    "budget",
    [{"scope": "key_limit", "limit_pusd": 1}, {"scope": "member"}, {"scope": "member", "limit_pusd": 1, "reset": 5}],
)
async def test_a_budget_that_cannot_be_is_refused(client: httpx.AsyncClient, budget: dict[str, Any]) -> None:
    answer = await client.post("/_sim/account", json={"budgets": [budget]})
    assert (answer.status_code, "budgets: " in answer.json()["error"]) == (400, True)
