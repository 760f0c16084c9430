"""OpenAI's and Anthropic's bills by day and model, in the shapes of their references, over real sockets."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from openai.types.admin.organization import UsageCompletionsResponse, UsageCostsResponse

from proxy.config.load import load_file
from proxy.core.clock import SystemClock
from proxy.core.secret import Secret
from proxy.providers.account.examination import Examination, count_costs
from proxy.providers.account.source import AccountError, AccountSource
from proxy.providers.account.sources import account_source
from proxy.providers.build import build_providers
from proxy.providers.provider import ProviderRow
from tests.providers.scripted import Peer, plain, serving
from tests.support.installation import write_config

ADMIN_KEY = "sk-admin-" + "c0ffee00" * 4
DAY = date(2026, 11, 28)
START, END = 1_795_824_000, 1_795_910_400
Asked = list[tuple[str, dict[str, list[str]], str]]


def bucket(*results: Any) -> dict[str, Any]:
    return {"object": "bucket", "start_time": START, "end_time": END, "results": [*results]}


def page(*buckets: Any, more: str | None = None) -> dict[str, Any]:
    return {"object": "page", "data": [*buckets], "has_more": more is not None, "next_page": more}


def openai_cost(item: str | None, value: Any, currency: str = "usd") -> dict[str, Any]:
    amount = {"value": value, "currency": currency}
    return {"object": "organization.costs.result", "amount": amount, "line_item": item, "project_id": None}


OPENAI_USAGE = {
    "object": "organization.usage.completions.result",
    "model": "gpt-6-astra",
    "input_tokens": 1000,
    "output_tokens": 50,
    "input_cached_tokens": 800,
    "num_model_requests": 5,
    "whatever": {"new": 1},
}
OPENAI = {
    "/v1/organization/costs": page(
        bucket(openai_cost("gpt-6-astra, input_tokens", 0.1), openai_cost("gpt-6-astra, output_tokens", 0.0213)),
        more="p2",
    ),
    "/v1/organization/costs?p2": page(bucket(openai_cost("vector storage", 0.00012345678901234567))),
    "/v1/organization/usage/completions": page(bucket(OPENAI_USAGE)),
    "/v1/models": {"object": "list", "data": []},
}


def anthropic_cost(amount: str, model: str | None, description: str) -> dict[str, Any]:
    return {
        "amount": amount,
        "currency": "USD",
        "cost_type": "tokens",
        "model": model,
        "description": description,
        "workspace_id": None,
    }


ANTHROPIC_USAGE = {
    "model": "claude-sonnet-4-5",
    "uncached_input_tokens": 100,
    "cache_read_input_tokens": 20,
    "cache_creation": {"ephemeral_1h_input_tokens": 3, "ephemeral_5m_input_tokens": 4},
    "output_tokens": 7,
    "server_tool_use": {"web_search_requests": 1},
}
ANTHROPIC = {
    "/v1/organizations/cost_report": page(
        bucket(
            anthropic_cost("123.456", "claude-sonnet-4-5", "Claude Sonnet 4.5 Usage - Input Tokens"),
            anthropic_cost("0.5", "claude-sonnet-4-5", "Claude Sonnet 4.5 Usage - Output Tokens"),
            anthropic_cost("1", None, "Web Search Usage"),
        )
    ),
    "/v1/organizations/usage_report/messages": page(bucket(ANTHROPIC_USAGE)),
}


@asynccontextmanager
async def provider_of(
    folder: Path, bodies: Mapping[str, Any], asked: Asked, **settings: Any
) -> AsyncIterator[ProviderRow]:
    async def play(peer: Peer) -> None:
        while request := await peer.request():
            head = request.decode("latin-1")
            url = urlsplit(head.split(" ", 2)[1])
            query = parse_qs(url.query)
            asked.append((url.path, query, head))
            body = bodies.get(f"{url.path}?{query['page'][0]}" if "page" in query else url.path)
            await peer.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n" if body is None else _written(body))

    async with serving(play) as server:
        one = {"kind": "openai", "base_url": f"{server.url}/v1", "api_key": "sk-plain-1234", **settings}
        rows = build_providers(load_file(write_config(folder, {"providers": {"bill": one}}), {}).settings, {})
        try:
            yield rows["bill"]
        finally:
            await rows["bill"].transport.close()


def _written(body: Any) -> bytes:
    return plain(json.dumps(body).encode(), "Content-Type: application/json")


def source_of(row: ProviderRow) -> AccountSource:
    source = account_source(row, SystemClock())
    assert source is not None
    return source


def test_the_bodies_are_those_of_the_reference() -> None:
    for path, body in OPENAI.items():
        if "costs" in path:
            UsageCostsResponse.model_validate(body)
    UsageCompletionsResponse.model_validate(OPENAI["/v1/organization/usage/completions"])


async def test_openai_is_asked_for_a_day_by_line_item(tmp_path: Path) -> None:
    asked: Asked = []
    async with provider_of(tmp_path, OPENAI, asked, management_key=ADMIN_KEY) as row:
        source = source_of(row)
        assert source.questions == {"activity"}
        model, storage = await source.activity(DAY)
        assert (model.model, model.usage_pusd, model.provider_name) == ("gpt-6-astra", 121_300_000_000, "OpenAI")
        assert (model.requests, model.prompt_tokens, model.completion_tokens, model.cached_tokens) == (5, 1000, 50, 800)
        assert (storage.model, storage.usage_pusd, storage.requests) == ("vector storage", 123_456_790, None)
        with pytest.raises(AccountError, match="OpenAI does not tell the activity of one key"):
            await source.activity(DAY, "0" * 64)
        costs = source.generation_costs(0, 1, None, count_costs)
        for refused in (source.credits(), source.keys(), source.key(Secret("k")), costs):
            with pytest.raises(AccountError, match="OpenAI does not tell"):
                await refused
    path, query, head = asked[0]
    assert (path, query["group_by[]"], query["bucket_width"]) == ("/v1/organization/costs", ["line_item"], ["1d"])
    assert (query["start_time"], query["end_time"]) == ([str(START)], [str(END)])
    assert f"Authorization: Bearer {ADMIN_KEY}" in head


async def test_anthropic_tells_cents(tmp_path: Path) -> None:
    asked: Asked = []
    more = {"auth": "x-api-key", "management_key": ADMIN_KEY}
    async with provider_of(tmp_path, ANTHROPIC, asked, **more) as row:
        model, search = await source_of(row).activity(DAY)
    assert (model.model, model.usage_pusd, model.provider_name) == ("claude-sonnet-4-5", 1_239_560_000_000, "Anthropic")
    assert (model.requests, model.prompt_tokens, model.completion_tokens, model.cached_tokens) == (None, 127, 7, 20)
    assert (search.model, search.usage_pusd) == ("Web Search Usage", 10_000_000_000)
    _, query, head = asked[0]
    assert (query["starting_at"], query["ending_at"]) == (["2026-11-28T00:00:00Z"], ["2026-11-29T00:00:00Z"])
    assert f"x-api-key: {ADMIN_KEY}" in head
    assert "anthropic-version: 2023-06-01" in head


async def test_a_bill_in_another_currency_or_shape_is_not_taken_for_usd(tmp_path: Path) -> None:
    euros = {**OPENAI, "/v1/organization/costs": page(bucket(openai_cost("gpt-6-astra, input", 1, "eur")))}
    torn = {**OPENAI, "/v1/organization/costs": page(bucket({"amount": {"value": "much", "currency": "usd"}}))}
    for bodies, says in ((euros, "is in eur"), (torn, r"results\.0\.amount\.value")):
        async with provider_of(tmp_path, bodies, [], management_key=ADMIN_KEY) as row:
            with pytest.raises(AccountError, match=says) as refused:
                await source_of(row).activity(DAY)
            assert refused.value.kind == "unreadable"


async def test_doctor_tries_the_bill_with_the_administrators_key_alone(tmp_path: Path) -> None:
    bodies = {path: body for path, body in OPENAI.items() if "usage" not in path}
    async with provider_of(tmp_path, bodies, [], management_key=ADMIN_KEY) as row:
        tries = await Examination(row, SystemClock()).tries()
    assert [(one.key, one.request, one.is_good) for one in tries] == [
        ("main", "GET /models", True),
        ("management", "GET /organization/usage/completions", False),
    ]
    async with provider_of(tmp_path, OPENAI, []) as row:
        assert account_source(row, SystemClock()) is None
