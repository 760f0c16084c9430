"""GET /v1/key, /credits and /generation: OpenRouter's shapes, the user's own figures, nobody else's."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from openrouter import components, operations

from tests.support.installation import PROVIDER_KEY, token_hash_of, token_of
from tests.support.stand import MODEL, Stand, sqlite_ledger
from tests.support.stand import stand as run_stand

# its model of /key warns of the fields that OpenRouter itself calls deprecated and still sends
pytestmark = pytest.mark.filterwarnings("ignore:.*DEPRECATED:DeprecationWarning")

PUSD = 10**12
LIMITS = {
    "limits": {"cost": "$200/month"},
    "users": {
        "anna": {"limits": {"cost": ["$2/day", "$20/month"], "requests": "1000/minute"}},
        "bo": {"token_hash": token_hash_of("bo")},
    },
}


def exact(body: bytes) -> Any:
    """Parse JSON with each number as it is written."""
    return json.loads(body, parse_float=Decimal)


def hour_ms(days_ago: int) -> int:
    at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=days_ago)
    return int(at.timestamp() * 1000)


async def spend(stand: Stand, user: str, days_ago: int, cost_pusd: int) -> None:
    row = (hour_ms(days_ago), user, MODEL, cost_pusd)
    query = (
        "INSERT INTO usage_hourly (hour_ms, user, group_name, model, provider, use_case, requests, errors,"
        " input_tokens, output_tokens, cached_tokens, reasoning_tokens, uncounted_tokens, cost_pusd)"
        " VALUES (?, ?, '', ?, 'openrouter', '', 1, 0, 10, 10, 0, 0, 0, ?)"
    )
    await sqlite_ledger(stand.app).change(lambda db: db.execute(query, row))


@pytest.mark.parametrize("path", ["/v1/key", "/v1/auth/key", "/api/v1/key", "/api/v1/auth/key", "/key"])
async def test_key(tmp_path: Path, path: str) -> None:
    """The shape is the one of OpenRouter's own package; the limit is the tightest; all digits are told."""
    async with run_stand(tmp_path, LIMITS) as stand:
        await stand.sim.behave(cost_literal="0.000123456789")
        await stand.chat({"max_tokens": 16})
        await stand.settled()
        await spend(stand, "anna", 40, 5 * PUSD)
        await spend(stand, "bo", 0, 7 * PUSD)
        got = await stand.ask("GET", path)
        assert got.status == 200
        operations.GetCurrentKeyResponse.model_validate(got.json())
        data = exact(got.body)["data"]
        spent = Decimal("0.000123456789")
        assert (data["limit"], data["limit_remaining"], data["limit_reset"]) == (2, 2 - spent, "daily")
        assert data["usage"] == 5 + spent
        assert (data["usage_daily"], data["usage_weekly"], data["usage_monthly"]) == (spent, spent, spent)
        budgets = {b["limit_usd"]: (b["scope"], b["reset_interval"]) for b in data["budgets"]}
        assert budgets == {2: ("key_limit", "daily"), 20: ("key_limit", "monthly"), 200: ("workspace", "monthly")}
        assert [b for b in data["budgets"] if b["limit_usd"] == 2] == [data["effective_budget"]]
        assert data["creator_user_id"] == "anna"
        assert stand.token not in got.body.decode()
        assert stand.token.startswith(data["label"].partition("...")[0])
        assert PROVIDER_KEY[:12] not in got.body.decode()


async def test_windows_are_those_of_utc(tmp_path: Path) -> None:
    """Whatever the configured zone is: OpenRouter's days, weeks from Monday and months are those of UTC."""
    async with run_stand(tmp_path, {"timezone": "Pacific/Kiritimati"}) as stand:
        now = datetime.now(UTC)
        for days_ago in range(70):
            await spend(stand, "anna", days_ago, (days_ago + 1) * PUSD)
        data = exact((await stand.ask("GET", "/v1/key")).body)["data"]
        in_month = [n for n in range(70) if (now - timedelta(days=n)).strftime("%Y%m") == now.strftime("%Y%m")]
        assert data["usage_daily"] == 1
        assert data["usage_weekly"] == sum(range(1, now.weekday() + 2))
        assert data["usage_monthly"] == sum(n + 1 for n in in_month)
        assert data["usage"] == sum(range(1, 71))


async def test_without_a_limit(stand: Stand) -> None:
    data = (await stand.ask("GET", "/v1/key")).json()
    operations.GetCurrentKeyResponse.model_validate(data)
    assert [data["data"][name] for name in ("limit", "limit_remaining", "limit_reset")] == [None] * 3
    assert (data["data"]["budgets"], data["data"]["effective_budget"]) == ([], None)
    got = (await stand.ask("GET", "/v1/credits")).json()
    assert got["data"]["total_credits"] - got["data"]["total_usage"] == 10**6


async def test_credits(tmp_path: Path) -> None:
    """The difference is what the tightest limit leaves, to the last digit."""
    async with run_stand(tmp_path, LIMITS) as stand:
        await stand.sim.behave(cost_literal="0.000123456789")
        await stand.chat({"max_tokens": 16})
        await stand.settled()
        await spend(stand, "anna", 40, 5 * PUSD)
        got = await stand.ask("GET", "/v1/credits")
        operations.GetCreditsResponse.model_validate(got.json())
        data = exact(got.body)["data"]
        assert data["total_usage"] == Decimal("5.000123456789")
        assert data["total_credits"] - data["total_usage"] == 2 - Decimal("0.000123456789")


@pytest.mark.parametrize("streamed", [False, True])
async def test_generation(tmp_path: Path, streamed: bool) -> None:
    """Found by the generation's id and by the request's; only by the user whose it is."""
    async with run_stand(tmp_path, LIMITS) as stand:
        await stand.sim.behave(cost_literal="0.000123456789", cached_tokens=1, reasoning_tokens=2)
        answer = await stand.chat({"stream": streamed, "session_id": "s-1"})
        (row,) = await stand.settled()
        generation_id = row["generation_id"]
        for id_ in (generation_id, answer.header("x-request-id")):
            got = await stand.ask("GET", f"/v1/generation?id={id_}")
            assert got.status == 200
            components.GenerationResponse.model_validate(got.json())
            data = exact(got.body)["data"]
            assert data["id"] == generation_id
            assert data["request_id"] == answer.header("x-request-id")
            assert data["total_cost"] == data["usage"] == Decimal("0.000123456789")
            assert (data["model"], data["provider_name"]) == (MODEL, "OpenAI")
            assert (data["native_tokens_prompt"], data["native_tokens_completion"]) == (
                row["input_tokens"],
                row["output_tokens"],
            )
            assert (data["native_tokens_cached"], data["native_tokens_reasoning"]) == (1, 2)
            assert (data["streamed"], data["cancelled"], data["finish_reason"]) == (streamed, False, "stop")
            assert (data["session_id"], data["external_user"]) == ("s-1", "anna")
            assert [part["status"] for part in data["provider_responses"]] == [200]
            other = await stand.ask("GET", f"/v1/generation?id={id_}", token=token_of("bo"))
            assert (other.status, other.json()["error"]["code"]) == (404, "not_found")


async def test_a_key_of_the_users_own(tmp_path: Path) -> None:
    """What went with it is told as such, and nothing else is."""
    more = {"users": {"bo": {"token_hash": token_hash_of("bo"), "provider_keys": {"openrouter": PROVIDER_KEY}}}}
    async with run_stand(tmp_path, more) as stand:
        for user, is_own in (("anna", False), ("bo", True)):
            await stand.sim.behave(cost_literal="0.000123456789")
            answer = await stand.chat(token=token_of(user))
            await stand.settled(1 if user == "anna" else 2)
            id_ = answer.header("x-request-id")
            got = await stand.ask("GET", f"/v1/generation?id={id_}", token=token_of(user))
            components.GenerationResponse.model_validate(got.json())
            data = got.json()["data"]
            assert data["is_byok"] is is_own
            assert [part["is_byok"] for part in data["provider_responses"]] == [is_own]
            key = await stand.ask("GET", "/v1/key", token=token_of(user))
            operations.GetCurrentKeyResponse.model_validate(key.json())
            figures = exact(key.body)["data"]
            spent = Decimal("0.000123456789")
            assert (figures["usage"], figures["usage_daily"]) == (spent, spent)
            own = spent if is_own else 0
            names = ("byok_usage", "byok_usage_daily", "byok_usage_weekly", "byok_usage_monthly")
            assert [figures[name] for name in names] == [own] * 4


async def test_what_is_not_known_is_no_figure(stand: Stand) -> None:
    await stand.chat()
    (row,) = await stand.settled()
    data = (await stand.ask("GET", f"/v1/generation?id={row['request_id']}")).json()["data"]
    assert (data["data_region"], data["upstream_inference_cost"], data["cache_discount"]) == ("unknown", None, None)
    key = (await stand.ask("GET", "/v1/key")).json()["data"]
    assert (key["allowed_data_regions"], key["free_model_daily_requests"]["limit"]) == ([], -1)


async def test_a_generation_without_a_time_in_its_id(stand: Stand) -> None:
    """Ids of other providers are found among the newest rows."""
    await stand.chat({"model": "plain/gpt-4o-mini"})
    (row,) = await stand.settled()
    assert row["generation_id"].startswith("chatcmpl-")
    got = await stand.ask("GET", f"/v1/generation?id={row['generation_id']}")
    assert (got.status, got.json()["data"]["request_id"]) == (200, row["request_id"])


@pytest.mark.parametrize(
    "id_",
    ["gen-1793539200-Ab12Cd34Ef56Gh78Ij90", "gen-99999999999-x", "req_ffffffffffffffff", "req_0", "chatcmpl-1", "%00"],
)
async def test_no_such_generation(stand: Stand, id_: str) -> None:
    got = await stand.ask("GET", f"/v1/generation?id={id_}")
    assert (got.status, got.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize("query", ["", "?id=", "?id=" + "x" * 257])
async def test_no_id(stand: Stand, query: str) -> None:
    got = await stand.ask("GET", f"/v1/generation{query}")
    assert (got.status, got.json()["error"]["param"]) == (400, "id")


async def test_a_generation_that_is_not_settled_yet(stand: Stand) -> None:
    """404, as the provider itself answers: scripts ask again."""
    await stand.sim.behave(usage="missing", generation_delay_ms=600_000)
    answer = await stand.chat()
    (row,) = await stand.ended()
    assert row["state"] == "pending"
    got = await stand.ask("GET", f"/v1/generation?id={answer.header('x-request-id')}")
    assert got.status == 404
    assert "Ask again" in got.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/key", "/v1/credits", "/v1/generation?id=gen-1-x", "/v1/models"])
async def test_no_token(stand: Stand, path: str) -> None:
    assert (await stand.ask("GET", path, token=None)).status == 401
