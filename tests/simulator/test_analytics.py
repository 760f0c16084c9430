"""POST /analytics/query: what the books say, grouped and cut as OpenRouter's reference has it."""

from typing import Any

import httpx
import pytest
from openrouter import operations as ops

CHAT = "/api/v1/chat/completions"
QUERY = "/api/v1/analytics/query"
BODY = {"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "Say something."}]}
HOUR = {"start": "2026-11-01T13:00:00Z", "end": "2026-11-01T14:00:00.000Z"}


async def test_costs_come_by_generation(client: httpx.AsyncClient, manager: dict[str, str]) -> None:
    made = [(await client.post(CHAT, json=BODY)).json() for _ in range(3)]
    asked = {"metrics": ["total_usage", "request_count"], "dimensions": ["generation_id"], "time_range": HOUR}
    body = (await client.post(QUERY, json=asked, headers=manager)).json()
    ops.QueryAnalyticsResponse.model_validate(body)
    assert {row["generation_id"]: row["total_usage"] for row in body["data"]["data"]} == {
        each["id"]: each["usage"]["cost"] for each in made
    }
    assert {row["request_count"] for row in body["data"]["data"]} == {"1"}
    cut = (await client.post(QUERY, json=asked | {"limit": 2}, headers=manager)).json()["data"]
    assert (len(cut["data"]), cut["metadata"]["truncated"]) == (2, True)
    assert (await client.post(QUERY, json=asked)).status_code == 403


async def test_a_time_axis_and_a_filter(client: httpx.AsyncClient, manager: dict[str, str]) -> None:
    for model in ("openai/gpt-4o-mini", "openai/gpt-4o-mini", "openai/gpt-5-mini"):
        await client.post(CHAT, json=BODY | {"model": model})
    wanted = [{"field": "model", "operator": "eq", "value": "openai/gpt-4o-mini"}]
    asked = {"metrics": ["request_count"], "dimensions": ["model"], "granularity": "hour", "filters": wanted}
    body = (await client.post(QUERY, json=asked, headers=manager)).json()
    row = {"date__hour": "2026-11-01T13:00:00.000Z", "model": "openai/gpt-4o-mini", "request_count": "2"}
    assert body["data"]["data"] == [row]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"metrics": []}, "metrics"),
        ({"metrics": ["nothing"]}, "metrics"),
        ({"dimensions": ["model", "provider", "user"]}, "dimensions"),
        ({"time_range": {"start": "2026-11-01T12:00Z", "end": "2026-11-01T13:00Z"}}, "with seconds"),
        ({"time_range": {"start": HOUR["end"], "end": HOUR["start"]}}, "end must be after start"),
        ({"time_range": {"start": "2026-09-01T00:00:00Z", "end": HOUR["end"]}}, "last 31 days"),
        ({"limit": 0}, "limit"),
        ({"granularity": "decade"}, "granularity"),
        ({"filters": [{"field": "model", "operator": "like", "value": "x"}]}, "filters"),
    ],
)
async def test_a_wrong_query_is_refused(
    client: httpx.AsyncClient, manager: dict[str, str], fields: dict[str, Any], says: str
) -> None:
    asked = {"metrics": ["total_usage"], "dimensions": ["generation_id"], "time_range": HOUR} | fields
    answer = await client.post(QUERY, json=asked, headers=manager)
    assert answer.status_code == 400
    assert says in answer.json()["error"]["message"]
