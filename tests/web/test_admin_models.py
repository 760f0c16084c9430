"""/admin/v1/models and /providers, and what is recommended: to operators and, of what they may use, to users."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio

from tests.support.installation import ADMIN_TOKEN, token_hash_of, token_of
from tests.support.raw import Answer
from tests.support.stand import MESSAGES, Stand
from tests.support.stand import stand as run_stand

DEAR, CHEAP, BLIND, FILED = "openai/gpt-4o", "openai/gpt-5-nano", "openai/gpt-oss-20b", "openai/gpt-4.1-nano"
MORE: dict[str, Any] = {
    "models": {FILED: {"enabled": False}, DEAR: {"request_price": "0.01"}},
    "users": {"bo": {"token_hash": token_hash_of("bo"), "models": ["openai/gpt-*"]}},
}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stand(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    async with run_stand(tmp_path_factory.mktemp("admin-models"), MORE) as found:
        yield found


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def admin(stand: Stand, method: str, path: str, body: Any = None, *headers: tuple[str, str]) -> Answer:
    more = [("Content-Type", "application/json"), *headers] if body is not None else list(headers)
    return await stand.ask(method, f"/admin/v1{path}", body, token=ADMIN_TOKEN, headers=more)


def at(name: str) -> str:
    return f"/models/{quote(name, safe='')}"


async def listed(stand: Stand, query: str = "") -> dict[str, Any]:
    answer = await admin(stand, "GET", f"/models?limit=1000{query}")
    assert answer.status == 200, answer.body
    return {one["name"]: one for one in answer.json()["data"]}


async def test_the_list_says_what_each_can_do_and_costs(stand: Stand) -> None:
    found = await listed(stand)
    dear = found[DEAR]
    assert (dear["enabled"], dear["request_price_usd"], dear["source"]) == (True, "0.01", "config")
    assert dear["figures"]["usd_per_million_tokens"] == "14.38"  # 3 of 2.50 and 1 of 10, and a cent a thousand tokens
    assert dear["figures"]["abilities"]["vision"]
    assert (found[FILED]["enabled"], found[FILED]["disabled_by"]) == (False, f"models.{FILED}.enabled")
    assert any(name.startswith("plain/") for name in found)


@pytest.mark.parametrize(
    ("query", "has", "lacks"),
    [
        ("&needs=vision,tools", DEAR, BLIND),
        ("&context=200k", CHEAP, DEAR),
        ("&max_price=$1", CHEAP, DEAR),
        ("&user=bo", DEAR, "google/gemini-2.5-flash"),
        ("&provider=openrouter", DEAR, "plain/gpt-4o"),
        ("&enabled=false", FILED, DEAR),
    ],
)
async def test_filters(stand: Stand, query: str, has: str, lacks: str) -> None:
    found = await listed(stand, query)
    assert has in found
    assert lacks not in found


async def test_a_model_is_changed_and_forgotten(stand: Stand) -> None:
    changed = await admin(stand, "PATCH", at(CHEAP), {"enabled": False, "request_price": "0.002"})
    assert changed.status == 200, changed.body
    entry = changed.json()["data"]
    assert (entry["enabled"], entry["request_price_pusd"], entry["source"]) == (False, 2 * 10**9, "database")
    refused = await stand.chat({"model": CHEAP})
    assert (refused.status, refused.json()["error"]["code"]) == (404, "model_disabled")
    tag = (await admin(stand, "GET", at(CHEAP))).header("etag") or ""
    enabled = await admin(stand, "PATCH", at(CHEAP), {"enabled": True}, ("If-Match", tag))
    assert enabled.json()["data"]["enabled"]
    late = await admin(stand, "PATCH", at(CHEAP), {"enabled": False}, ("If-Match", tag))
    assert late.status == 412
    assert (await stand.chat({"model": CHEAP})).status == 200
    assert (await admin(stand, "DELETE", at(CHEAP))).status == 200
    assert (await admin(stand, "GET", at(CHEAP))).json()["data"]["settings"] == {}
    rows = await stand.rows("SELECT action, subject, after FROM audit WHERE action LIKE 'models.%' ORDER BY id DESC")
    assert [row["action"] for row in rows[:3]] == ["models.remove", "models.set", "models.set"]
    assert rows[1]["after"] == '{"request_price":"0.002"}'


@pytest.mark.parametrize(
    ("name", "body", "status", "code"),
    [
        (DEAR, {"request_price": "1"}, 409, "set_in_file"),
        (FILED, {"enabled": True}, 409, "set_in_file"),
        (CHEAP, {"request_price": "-1"}, 400, "invalid_change"),
        (CHEAP, {"request_price": "0.0000000000001"}, 400, "invalid_change"),
        (CHEAP, {"price": {"input": 1}}, 400, "invalid_change"),
        (CHEAP, {"price": {"input": 1, "output": 2, "nothing": 3}}, 400, "invalid_change"),
        (CHEAP, {"colour": "red"}, 422, "invalid_field"),
    ],
)
async def test_what_cannot_be_is_refused_and_changes_nothing(
    stand: Stand, name: str, body: dict[str, Any], status: int, code: str
) -> None:
    before = (await admin(stand, "GET", at(name))).json()
    answer = await admin(stand, "PATCH", at(name), body)
    assert (answer.status, answer.json()["error"]["code"]) == (status, code), answer.body
    assert (await admin(stand, "GET", at(name))).json() == before


async def test_enabling_says_what_still_disables(stand: Stand) -> None:
    assert (await admin(stand, "PATCH", at("openai/gpt-5*"), {"enabled": False})).status == 200
    answer = await admin(stand, "PATCH", at(CHEAP), {"enabled": True})
    assert (answer.status, answer.json()["error"]["param"]) == (409, "models.openai/gpt-5*.enabled")
    assert (await admin(stand, "PATCH", at("openai/gpt-5*"), {"enabled": True})).status == 200


async def test_a_provider_is_switched(stand: Stand) -> None:
    assert (await admin(stand, "PATCH", "/providers/plain", {"enabled": False})).json()["data"]["enabled"] is False
    assert (await stand.chat({"model": "plain/gpt-4o-mini"})).json()["error"]["code"] == "model_disabled"
    providers = {one["name"]: one for one in (await admin(stand, "GET", "/providers")).json()["data"]}
    assert (providers["plain"]["source"], providers["openrouter"]["is_first"]) == ("database", True)
    assert (await admin(stand, "PATCH", "/providers/plain", {"enabled": True})).json()["data"]["enabled"] is True
    assert (await admin(stand, "PATCH", "/providers/none", {"enabled": True})).status == 404


async def test_models_for_a_job_are_ranked_with_reasons(stand: Stand) -> None:
    found = (await admin(stand, "GET", "/models/recommendations?needs=vision&context=200k&max_price=2")).json()["data"]
    costs = [one["cost_pusd"] for one in found["models"]]
    assert costs
    assert all(one["abilities"]["vision"] and one["context_tokens"] >= 200_000 for one in found["models"])
    assert found["models"][0]["reasons"][0].endswith("USD for this job")
    reasons = {one["name"]: one["reason"] for one in found["left_out"]}
    assert reasons[BLIND] == "it does not take images"
    assert FILED not in reasons, "what is disabled is no choice"
    job = {"messages": MESSAGES, "tools": [{"type": "function", "function": {"name": "f"}}], "max_tokens": 100}
    posted = await admin(stand, "POST", "/models/recommendations", {"job": job, "user": "bo"})
    assert posted.status == 200, posted.body
    shown = posted.json()["data"]
    assert {"tools", "text"} == set(shown["job"]["needs"])
    assert all(one["name"].startswith("openai/gpt-") for one in shown["models"])


async def test_users_are_recommended_what_they_may_use(stand: Stand) -> None:
    path = "/v1/models/recommend"
    answer = await stand.ask("GET", f"{path}?needs=pictures", token=token_of("bo"))
    found = answer.json()
    assert answer.status == 200
    assert found["models"]
    assert all(one["name"].startswith("openai/gpt-") and one["abilities"]["vision"] for one in found["models"])
    posted = await stand.ask("POST", f"{path}?max_price=$1", {"messages": MESSAGES}, token=token_of("bo"))
    assert posted.json()["models"][0]["cost_usd"]
    for query, param in (
        ("needs=wings", "needs"),
        ("context=many", "context"),
        ("max_price=x", "max_price"),
        ("a=1", "a"),
    ):
        refused = await stand.ask("GET", f"{path}?{query}", token=token_of("bo"))
        assert (refused.status, refused.json()["error"]["param"]) == (400, param)
    assert (await stand.ask("GET", path, token="tk-nobody")).status == 401
