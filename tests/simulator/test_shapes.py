"""Every shape of answer, well and badly, read by the proxy's own readers: books and wire agree.

The readers were made from documents, the simulator's books know nothing of them: where they agree, both are right.
"""

from typing import Any

import httpx
import httpx2
import openai
import pytest
from openai.types import completion_create_params, embedding_create_params
from openai.types.chat import completion_create_params as chat_create_params
from openai.types.responses import response_create_params
from openrouter import components
from pydantic import TypeAdapter

from proxy.simulator.request_checks import _OPENAI_FIELDS
from proxy.wire.endpoint import COMPLETIONS, EMBEDDINGS, MESSAGES, RESPONSES, Endpoint, Meter
from proxy.wire.usage import Usage

from .conftest import KEY
from .sse_lines import chunks, done, events

TOOLS: dict[Endpoint, dict[str, Any]] = {
    RESPONSES: {"tools": [{"type": "function", "name": "weather", "parameters": {"type": "object"}}]},
    MESSAGES: {"tools": [{"name": "weather", "input_schema": {"type": "object"}}]},
}
BODIES: dict[Endpoint, dict[str, Any]] = {
    COMPLETIONS: {"prompt": "Say something."},
    EMBEDDINGS: {"input": ["Say something."]},
    RESPONSES: {"input": "Say something."},
    MESSAGES: {"messages": [{"role": "user", "content": "Say something."}], "max_tokens": 200},
}
STREAMED = (COMPLETIONS, RESPONSES, MESSAGES)
EXACT = [
    *("ok", "reasoning", "refusal", "length", "byok", "permaslug", "padding", "cost-high", "cached", "tool-calls"),
    *("line-crlf", "line-cr", "one-byte-pieces", "multi-line-data", "zero-completion", "cache-hit"),
]


async def ask(
    client: httpx.AsyncClient, endpoint: Endpoint, name: str = "ok", fields: dict[str, Any] | None = None, **more: Any
) -> httpx.Response:
    body = {"model": f"sim/{name}", **BODIES[endpoint], **more}
    headers = {} if fields is None else {"X-Sim-Behaviour": orjson_text(fields)}
    return await client.post(f"/api/v1{endpoint.path}", json=body, headers=headers)


def orjson_text(fields: dict[str, Any]) -> str:
    return httpx.Request("POST", "http://x", json=fields).content.decode()


def read(endpoint: Endpoint, data: bytes) -> Meter:
    assert endpoint.meter is not None
    meter = endpoint.meter(False)
    given = meter.feed(data)
    assert given + meter.finish() + meter.held == data
    return meter


async def charged(client: httpx.AsyncClient) -> int:
    (generation,) = (await client.get("/_sim/books")).json()["generations"].values()
    assert generation["finished"]
    found: int = generation["charged_pusd"]
    return found


async def behaviours(client: httpx.AsyncClient) -> list[str]:
    known = (await client.get("/_sim/behaviours")).json()
    return [name for name in EXACT if name in known]


@pytest.mark.parametrize("endpoint", BODIES, ids=lambda endpoint: endpoint.name)
async def test_books_and_wire_agree(client: httpx.AsyncClient, endpoint: Endpoint) -> None:
    """Plain and streamed tell the same tokens and the same cost, to the pico-dollar, and it is the one in the books."""
    names = await behaviours(client)
    assert len(names) > 8
    for name in names:
        await client.delete("/_sim/books")
        whole = await ask(client, endpoint, name)
        answer = endpoint.read(whole.content)
        assert answer is not None
        assert answer.usage is not None
        assert answer.usage.cost_pusd == await charged(client), name
        assert not answer.error_seen
        if endpoint.meter is None:
            continue
        await client.delete("/_sim/books")
        meter = read(endpoint, (await ask(client, endpoint, name, stream=True)).content)
        assert meter.usage is not None
        assert meter.usage.cost_pusd == await charged(client), name
        assert (meter.done, meter.usage_is_last, meter.error_seen) == (True, True, False)
        assert (meter.usage, meter.finish_reason, meter.model) == (answer.usage, answer.finish_reason, answer.model)
        assert meter.generation_id is not None
        assert meter.content_seen is answer.has_choices or endpoint is COMPLETIONS, name


@pytest.mark.parametrize("endpoint", TOOLS, ids=lambda endpoint: endpoint.name)
async def test_tools(client: httpx.AsyncClient, endpoint: Endpoint) -> None:
    asked = {**TOOLS[endpoint], "tool_choice": "required" if endpoint is RESPONSES else {"type": "any"}}
    answer = endpoint.read((await ask(client, endpoint, **asked)).content)
    assert answer is not None
    assert answer.finish_reason == "tool_calls"
    meter = read(endpoint, (await ask(client, endpoint, stream=True, **asked)).content)
    assert (meter.finish_reason, meter.usage) == ("tool_calls", answer.usage)


@pytest.mark.parametrize("form", ["choice", "empty_choices", "with_usage", "usage_after"])
@pytest.mark.parametrize("after", [0, 3])
@pytest.mark.parametrize("endpoint", STREAMED, ids=lambda endpoint: endpoint.name)
async def test_an_error_in_a_stream(client: httpx.AsyncClient, endpoint: Endpoint, after: int, form: str) -> None:
    """What was generated until then is charged only where usage tells it."""
    fields = {"stream_error_after": after, "stream_error_form": form, "stream_error_done": after == 3}
    got = await ask(client, endpoint, fields=fields, stream=True)
    meter = read(endpoint, got.content)
    assert meter.error_seen
    assert meter.content_seen is (after > 0)
    cost = await charged(client)
    told = form in ("with_usage", "usage_after")
    assert (cost > 0) is told
    if told and not (endpoint is MESSAGES and form == "with_usage" and after == 0):
        assert meter.usage is not None
        assert meter.usage.cost_pusd == cost
    if told and not (endpoint is MESSAGES and form == "with_usage"):  # there an error may still undo what was counted
        assert meter.usage_is_last
    if not told:
        assert not meter.usage_is_last
    assert done(got.content) is (after == 3 and endpoint is not MESSAGES)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("endpoint", STREAMED, ids=lambda endpoint: endpoint.name)
async def test_an_error_in_a_call_or_in_reasoning(client: httpx.AsyncClient, endpoint: Endpoint, stream: bool) -> None:
    """A failure is not tied to text: it comes in the middle of arguments and of reasoning, too."""
    if not stream:
        answer = endpoint.read((await ask(client, endpoint, fields={"choice_error": True})).content)
        assert answer is not None
        assert answer.error_seen
        assert await charged(client) == 0
        return
    fields = {"stream_error_after": 2, "reasoning_tokens": 5}
    meter = read(endpoint, (await ask(client, endpoint, fields=fields, stream=True)).content)
    assert meter.error_seen
    if endpoint in TOOLS:
        asked = {**TOOLS[endpoint], "tool_choice": "required" if endpoint is RESPONSES else {"type": "any"}}
        fields = {"stream_error_after": 1}
        meter = read(endpoint, (await ask(client, endpoint, fields=fields, stream=True, **asked)).content)
        assert meter.error_seen


@pytest.mark.parametrize(
    "name", ["reasoning", "tool-calls", "midstream-error-usage-after", "midstream-error-empty-choices"]
)
async def test_events_of_responses_are_valid(client: httpx.AsyncClient, name: str) -> None:
    """By the models of OpenRouter's own package."""
    asked = {**TOOLS[RESPONSES], "tool_choice": "auto"}
    got = await ask(client, RESPONSES, name, stream=True, **asked)
    for event in chunks(got.content):
        TypeAdapter(components.StreamEvents).validate_python(event)


async def test_a_content_filter(client: httpx.AsyncClient) -> None:
    fields = {"finish_reason": "content_filter"}
    for stream in (False, True):
        got = await ask(client, RESPONSES, fields=fields, stream=stream)
        told = read(RESPONSES, got.content) if stream else RESPONSES.read(got.content)
        assert told is not None
        assert told.finish_reason == "content_filter"


async def test_usage_beside_and_inside(client: httpx.AsyncClient) -> None:
    """Cached tokens stand beside the input in messages and inside it elsewhere; read, they are the same."""
    found = set()
    for endpoint in STREAMED:
        fields = {"prompt_tokens": 1000, "cached_tokens": 600, "cache_write_tokens": 100}
        answer = endpoint.read((await ask(client, endpoint, fields=fields)).content)
        assert answer is not None
        found.add(answer.usage)
        assert read(endpoint, (await ask(client, endpoint, fields=fields, stream=True)).content).usage == answer.usage
    counts = {
        (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.cost_pusd) for usage in found if usage
    }
    assert len(counts) == 1
    assert next(iter(counts))[:3] == (1000, 16, 600)


async def test_each_event_of_a_message_is_named(client: httpx.AsyncClient) -> None:
    got = await ask(client, MESSAGES, stream=True)
    assert all(
        event["event"] == chunk["type"] for event, chunk in zip(events(got.content), chunks(got.content), strict=True)
    )


@pytest.mark.parametrize(
    ("path", "types"),
    [
        ("chat/completions", chat_create_params.CompletionCreateParamsBase),
        ("completions", completion_create_params.CompletionCreateParamsBase),
        ("embeddings", embedding_create_params.EmbeddingCreateParams),
        ("responses", response_create_params.ResponseCreateParamsBase),
    ],
)
def test_openais_fields_are_those_of_its_package(path: str, types: Any) -> None:
    streams = set() if path == "embeddings" else {"stream"}
    assert _OPENAI_FIELDS[path] == set(types.__annotations__) | streams


@pytest.mark.parametrize("endpoint", [COMPLETIONS, EMBEDDINGS, RESPONSES], ids=lambda endpoint: endpoint.name)
async def test_openai_refuses_unknown_fields_everywhere(client: httpx.AsyncClient, endpoint: Endpoint) -> None:
    body = {"model": "gpt-4o-mini", **BODIES[endpoint]}
    if endpoint is EMBEDDINGS:
        body["model"] = "text-embedding-3-small"
    assert (await client.post(f"/openai/v1{endpoint.path}", json=body)).status_code == 200
    refused = await client.post(f"/openai/v1{endpoint.path}", json={**body, "usage": {"include": True}})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "usage")


async def test_a_maximum_of_the_wrong_type(client: httpx.AsyncClient) -> None:
    for endpoint, name in ((COMPLETIONS, "max_tokens"), (RESPONSES, "max_output_tokens"), (MESSAGES, "max_tokens")):
        body: dict[str, Any] = {name: "many"}
        got = await ask(client, endpoint, **body)
        assert got.status_code == 400
        assert (got.json().get("type") == "error") is (endpoint is MESSAGES)


async def test_the_sdk_raises_what_a_response_stream_says(client: httpx.AsyncClient) -> None:
    """openai-python gives response.failed as an event, with the usage in it."""
    http = httpx2.AsyncClient(trust_env=False)
    base_url = f"{client.base_url}/api/v1"
    async with openai.AsyncOpenAI(base_url=base_url, api_key=KEY, max_retries=0, http_client=http) as sdk:
        stream = await sdk.responses.create(model="sim/midstream-error-with-usage", input="Hello", stream=True)
        last = [event async for event in stream][-1]
    assert last.type == "response.failed"
    assert last.response.usage is not None


def test_usage_is_one_value() -> None:
    assert hash(Usage(1, 2, None, None, None, True, None, False, None))
