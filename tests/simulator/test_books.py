"""The books say what was charged, to the pico-USD."""

import asyncio
import json
from decimal import ROUND_CEILING, Decimal
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.simulator.behaviour import NAMED_BEHAVIOURS, Behaviour
from proxy.simulator.bill import bill
from proxy.simulator.books import Books, Generation
from proxy.simulator.prices import CATALOGUE, DemoPrice, Tokens, input_ausd, output_ausd, price_text

from .sse_lines import chunks

CHAT = "/api/v1/chat/completions"
BODY = {"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "Say something."}]}


def pusd(cost: Decimal) -> int:
    return int((cost * 10**12).to_integral_value(ROUND_CEILING))


def exact(text: str) -> Any:
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


ANSWERED = sorted(
    name
    for name, fields in NAMED_BEHAVIOURS.items()
    if not {"stop_at", "error", "raw_response", "body", "stream_error_after", "usage_literal"} & set(fields)
    and fields.get("usage", "present") == "present"
    and name not in {"cost-missing", "cost-null", "cost-nan", "cost-huge", "cost-negative", "cost-string", "fallback"}
    and name not in {"lying-content-encoding", "many-headers", "response-cache-hit"}
)


@pytest.mark.sampled(0.3)
@pytest.mark.parametrize("name", ANSWERED)
@pytest.mark.parametrize("stream", [False, True])
async def test_the_books_say_what_the_wire_said(client: httpx.AsyncClient, name: str, stream: bool) -> None:
    answer = await client.post(CHAT, json={**BODY, "stream": stream}, headers={"X-Sim-Behaviour": name})
    text = answer.content.decode("utf-8-sig", "replace")
    at = text.rindex('"usage":{') if name != "usage-first" or not stream else text.index('"usage":{')
    usage, _ = json.JSONDecoder(parse_float=Decimal, parse_int=Decimal).raw_decode(text[at + len('"usage":') :])
    shown = (await client.get("/_sim/books")).json()
    (entry,) = shown["generations"].values()
    spent = usage["cost"]
    if usage.get("is_byok"):
        spent += usage["cost_details"]["upstream_inference_cost"]
    assert entry["charged_pusd"] == pusd(spent) == shown["total_pusd"]
    assert entry["prompt_tokens"] == usage["prompt_tokens"]
    assert entry["completion_tokens"] == usage["completion_tokens"]
    assert entry["cached_tokens"] == usage["prompt_tokens_details"]["cached_tokens"]
    assert entry["streamed"] is stream
    assert entry["finished"]
    (wanted,) = shown["generations"]
    record = exact((await client.get(f"/api/v1/generation?id={wanted}")).text)
    if name != "generation-other-cost":
        upstream = record["data"]["upstream_inference_cost"] if record["data"]["is_byok"] else 0
        assert pusd(record["data"]["total_cost"] + upstream) == entry["charged_pusd"]


@pytest.mark.parametrize("name", ["cost-missing", "cost-null", "cost-nan", "cost-huge", "cost-negative"])
async def test_what_is_no_money_is_charged_by_tokens(client: httpx.AsyncClient, name: str) -> None:
    await client.post(CHAT, json=BODY)
    await client.post(CHAT, json=BODY, headers={"X-Sim-Behaviour": name})
    first, second = (await client.get("/_sim/books")).json()["generations"].values()
    assert first["charged_pusd"] == second["charged_pusd"] > 0


@pytest.mark.parametrize("name", ["response-cache-hit", "zero-completion", "choice-error", "midstream-error-after-3"])
async def test_what_is_not_charged(client: httpx.AsyncClient, name: str) -> None:
    await client.post(CHAT, json={**BODY, "stream": True}, headers={"X-Sim-Behaviour": name})
    (entry,) = (await client.get("/_sim/books")).json()["generations"].values()
    assert entry["charged_pusd"] == 0
    assert entry["finished"]


async def test_usage_beside_an_error_is_charged(client: httpx.AsyncClient) -> None:
    for name in ("midstream-error-with-usage", "midstream-error-usage-after"):
        await client.delete("/_sim/books")
        answer = await client.post(CHAT, json={**BODY, "stream": True}, headers={"X-Sim-Behaviour": name})
        usage = next(c["usage"] for c in chunks(answer.content) if c.get("usage"))
        (entry,) = (await client.get("/_sim/books")).json()["generations"].values()
        assert usage["completion_tokens"] == 3
        assert entry["charged_pusd"] == round(usage["cost"] * 1e12) == 3 * 150_000 + 3 * 600_000


async def test_refused_requests_stand_among_the_errors(client: httpx.AsyncClient) -> None:
    tagged = {**BODY, "user": "anna", "session_id": "s-1"}
    await client.post(CHAT, json=tagged, headers={"X-Sim-Behaviour": "error-key-limit"})
    await client.post(CHAT, json={**BODY, "model": "no/such"}, headers={"x-session-id": "s-2"})
    await client.post(CHAT, json=tagged)
    shown = (await client.get("/_sim/books")).json()
    assert shown["requests"] == 3
    assert [(e["seq"], e["status"], e["model"], e["user"], e["session_id"]) for e in shown["errors"]] == [
        (1, 403, "openai/gpt-4o-mini", "anna", "s-1"),
        (2, 400, "no/such", None, "s-2"),
    ]
    (entry,) = shown["generations"].values()
    assert (entry["seq"], entry["user"], entry["session_id"]) == (3, "anna", "s-1")


async def test_many_at_once_add_up(client: httpx.AsyncClient) -> None:
    fields = json.dumps({"cost_random": True, "pace_ms": 1})
    headers = {"X-Sim-Behaviour": fields}
    jobs = [client.post(CHAT, json={**BODY, "stream": n % 2 == 0}, headers=headers) for n in range(100)]
    answers = await asyncio.gather(*jobs)
    costs = []
    for answer in answers:
        at = answer.text.rindex('"cost":') + len('"cost":')
        costs.append(json.JSONDecoder(parse_float=Decimal, parse_int=Decimal).raw_decode(answer.text[at:])[0])
    shown = (await client.get("/_sim/books")).json()
    assert shown["total_pusd"] == sum(pusd(cost) for cost in costs)
    assert len(set(costs)) > 90
    assert shown["open"] == 0


prices = st.sampled_from([model.price for model in CATALOGUE if not model.price.dynamic])
counts = st.integers(0, 2_000_000)


@given(prices, counts, counts, counts, counts)
def test_tokens_times_price_is_exact(price: DemoPrice, fresh: int, cached: int, written: int, completion: int) -> None:
    tokens = Tokens(fresh + cached + written, completion, cached, written)
    tier = price.at(tokens.prompt)

    def usd(ausd: int | None) -> Decimal:
        return Decimal(price_text(tier.prompt if ausd is None else ausd))

    expected = (
        fresh * usd(tier.prompt)
        + cached * usd(tier.cache_read)
        + written * usd(tier.cache_write)
        + completion * usd(tier.completion)
    )
    assert Decimal(price_text(input_ausd(price, tokens) + output_ausd(price, tokens))) == expected
    made = bill(Behaviour(), price, tokens, seed=1, sequence=1, whole=True)
    assert made.charged_pusd == pusd(expected)
    assert made.cost_json is not None
    assert Decimal(made.cost_json) == expected


@given(st.integers(), st.integers(1, 10**6))
def test_a_random_cost_is_charged_as_it_is_told(seed: int, sequence: int) -> None:
    made = bill(Behaviour(cost_random=True), CATALOGUE[0].price, Tokens(1, 1), seed=seed, sequence=sequence, whole=True)
    assert made.cost_json is not None
    told = json.loads(made.cost_json, parse_float=Decimal, parse_int=Decimal)
    assert 0 < told < 1
    assert len(Decimal(told).as_tuple().digits) <= 18
    assert made.charged_pusd == pusd(told)


def test_long_prompts_cost_more_only_above_the_bound() -> None:
    price = next(model.price for model in CATALOGUE if model.id == "anthropic/claude-sonnet-4.5")
    assert input_ausd(price, Tokens(200_000, 0)) == 200_000 * 3 * 10**12
    assert input_ausd(price, Tokens(200_001, 0)) == 200_001 * 6 * 10**12


def test_a_generation_is_closed_once() -> None:
    books = Books()
    entry = Generation("gen-1", 1, "chat/completions", "m", "p", False, 1, None, None, "k", 0, 0.0)
    books.open(entry)
    books.close(entry, 5)
    with pytest.raises(RuntimeError, match="gen-1 is closed"):
        books.close(entry, 5)
    assert books.total_pusd == 5
