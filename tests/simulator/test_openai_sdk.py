"""The official openai package gets what it expects, from both sides of the simulator."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import httpx
import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel, ValidationError

from proxy.simulator.server import Simulator

from .conftest import KEY

MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say something."}]
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Weather of a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
                "required": ["city", "days"],
            },
        },
    }
]


class Weather(BaseModel):
    city: str
    days: int


class Leaf(BaseModel):
    name: str
    ratio: float
    children: list["Leaf"]


@pytest.fixture(params=["openrouter", "openai"])
async def sdk(simulator: Simulator, request: pytest.FixtureRequest) -> AsyncIterator[openai.AsyncOpenAI]:
    path = {"openrouter": "/api/v1", "openai": "/openai/v1"}[request.param]
    http = httpx2.AsyncClient(trust_env=False)
    async with openai.AsyncOpenAI(
        base_url=simulator.url + path, api_key=KEY, max_retries=0, http_client=http
    ) as client:
        yield client


def model_of(sdk: openai.AsyncOpenAI) -> str:
    return "gpt-4o-mini" if "/openai/" in str(sdk.base_url) else "openai/gpt-4o-mini"


async def test_plain(sdk: openai.AsyncOpenAI) -> None:
    answer = await sdk.chat.completions.create(model=model_of(sdk), messages=MESSAGES)
    assert answer.model == model_of(sdk)
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 16
    assert ("cost" in answer.usage.model_dump()) is ("/api/v1" in str(sdk.base_url))


async def test_a_stream_says_the_same_as_a_plain_answer(sdk: openai.AsyncOpenAI) -> None:
    plain = await sdk.chat.completions.create(model=model_of(sdk), messages=MESSAGES)
    stream = await sdk.chat.completions.create(
        model=model_of(sdk), messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    words, usages = "", []
    finish: str | None = None
    async for chunk in stream:
        for choice in chunk.choices:
            words += choice.delta.content or ""
            finish = choice.finish_reason or finish
        usages += [chunk.usage] if chunk.usage else []
    assert words == plain.choices[0].message.content
    assert finish == "stop"
    assert len(usages) == 1
    assert plain.usage is not None
    assert usages[0].total_tokens == plain.usage.total_tokens


async def test_openai_tells_usage_only_when_asked(simulator: Simulator, client: httpx.AsyncClient) -> None:
    body = {"model": "gpt-4o-mini", "messages": MESSAGES, "stream": True}
    without = await client.post("/openai/v1/chat/completions", json=body)
    assert "usage" not in without.text
    with_it = await client.post("/openai/v1/chat/completions", json={**body, "stream_options": {"include_usage": True}})
    assert with_it.text.count('"usage":null') == 17
    assert '"choices":[],"usage":{' in with_it.text
    assert with_it.headers["x-ratelimit-remaining-requests"]
    assert with_it.headers["x-request-id"].startswith("req_")
    assert simulator.books.total_pusd > 0


@pytest.mark.parametrize("stream", [False, True])
async def test_tools(sdk: openai.AsyncOpenAI, stream: bool) -> None:
    asked: dict[str, Any] = {"model": model_of(sdk), "messages": MESSAGES, "tools": TOOLS, "tool_choice": "required"}
    if not stream:
        answer = await sdk.chat.completions.create(**asked)
        (call,) = answer.choices[0].message.tool_calls or []
        assert call.type == "function"
        name, arguments, finish = call.function.name, call.function.arguments, answer.choices[0].finish_reason
    else:
        name, arguments, finish = "", "", None
        async for chunk in await sdk.chat.completions.create(**asked, stream=True):
            for choice in chunk.choices:
                finish = choice.finish_reason or finish
                for part in choice.delta.tool_calls or []:
                    name += (part.function and part.function.name) or ""
                    arguments += (part.function and part.function.arguments) or ""
    assert (name, finish) == ("weather", "tool_calls")
    assert Weather.model_validate_json(arguments).days >= 1


async def test_structured_output(sdk: openai.AsyncOpenAI) -> None:
    for schema in (Weather, Leaf):
        answer = await sdk.chat.completions.parse(model=model_of(sdk), messages=MESSAGES, response_format=schema)
        assert isinstance(answer.choices[0].message.parsed, schema)
    with pytest.raises(openai.LengthFinishReasonError):
        await sdk.chat.completions.parse(
            model=model_of(sdk), messages=MESSAGES, response_format=Weather, max_completion_tokens=1
        )
    with pytest.raises(ValidationError):
        Weather.model_validate_json("{}")


async def test_an_image_counts_a_fixed_number_of_tokens(sdk: openai.AsyncOpenAI) -> None:
    counts = []
    for size in (1_000, 100_000):
        url = "data:image/png;base64," + base64.b64encode(b"\x00" * size).decode()
        parts: list[Any] = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": url}}]
        answer = await sdk.chat.completions.create(model=model_of(sdk), messages=[{"role": "user", "content": parts}])
        assert answer.usage is not None
        counts.append(answer.usage.prompt_tokens)
    assert counts == [86, 86]


async def test_responses(sdk: openai.AsyncOpenAI) -> None:
    whole = await sdk.responses.create(model=model_of(sdk), input="Say something.")
    assert whole.output_text
    assert whole.usage is not None
    events = [e async for e in await sdk.responses.create(model=model_of(sdk), input="Say something.", stream=True)]
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == whole.output_text
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    assert events[-1].response.usage is not None
    assert events[-1].response.usage.total_tokens == whole.usage.total_tokens


async def test_responses_call_tools(sdk: openai.AsyncOpenAI) -> None:
    tool = {"type": "function", **TOOLS[0]["function"], "strict": True}
    asked: dict[str, Any] = {"model": model_of(sdk), "input": "x", "tools": [tool], "tool_choice": "required"}
    events: list[Any] = [e async for e in await sdk.responses.create(**asked, stream=True)]
    done = next(e for e in events if e.type == "response.function_call_arguments.done")
    assert Weather.model_validate_json(done.arguments).city
    assert events[-1].response.output[0].type == "function_call"


async def test_embeddings(sdk: openai.AsyncOpenAI) -> None:
    name = model_of(sdk).replace("gpt-4o-mini", "text-embedding-3-small")
    floats = await sdk.embeddings.create(model=name, input=["a", "b"], encoding_format="float", dimensions=4)
    packed = await sdk.embeddings.create(model=name, input=["a", "b"], dimensions=4)
    assert [d.embedding for d in floats.data] == [list(d.embedding) for d in packed.data]
    assert len(floats.data[0].embedding) == 4
    assert floats.usage.prompt_tokens == floats.usage.total_tokens == 1


async def test_completions(sdk: openai.AsyncOpenAI) -> None:
    whole = await sdk.completions.create(model=model_of(sdk), prompt="Once")
    stream = await sdk.completions.create(model=model_of(sdk), prompt="Once", stream=True)
    words = "".join([c.text async for chunk in stream for c in chunk.choices])
    assert words == whole.choices[0].text


async def test_models(sdk: openai.AsyncOpenAI) -> None:
    names = [model.id async for model in sdk.models.list()]
    assert model_of(sdk) in names
    assert len(names) > 5


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("error-bad-parameter", openai.BadRequestError),
        ("error-user-not-found", openai.AuthenticationError),
        ("error-key-limit", openai.PermissionDeniedError),
        ("error-no-endpoints", openai.NotFoundError),
        ("error-upstream-rate-limit", openai.RateLimitError),
        ("error-provider-error", openai.InternalServerError),
        ("rst-before-headers", openai.APIConnectionError),
        ("midstream-error-after-3", openai.APIError),
    ],
)
async def test_errors_become_the_packages_exceptions(sdk: openai.AsyncOpenAI, name: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        async for _ in await sdk.chat.completions.create(model=f"sim/{name}", messages=MESSAGES, stream=True):
            pass


@pytest.mark.parametrize(
    ("extra", "param"),
    [
        ({"usage": {"include": True}}, "usage"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"n": 1000}, "n"),
    ],
)
async def test_openai_refuses_what_it_does_not_know(
    client: httpx.AsyncClient, extra: dict[str, Any], param: str
) -> None:
    body = {"model": "gpt-4o-mini", "messages": MESSAGES, **extra}
    answer = await client.post("/openai/v1/chat/completions", json=body)
    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert answer.json()["error"]["param"] == param


async def test_keys_are_checked(simulator: Simulator, client: httpx.AsyncClient) -> None:
    body = {"model": "openai/gpt-4o-mini", "messages": MESSAGES}
    for path, header, text in (
        ("/api/v1", None, "No auth credentials found"),
        ("/api/v1", "Bearer sk-proj-1", "User not found."),
        ("/api/v1", "Basic eDp5", "Missing Authentication header"),
        ("/openai/v1", None, "You didn't provide an API key."),
        ("/openai/v1", "Bearer tk-1", "Incorrect API key provided"),
    ):
        async with httpx.AsyncClient(base_url=simulator.url, trust_env=False) as bare:
            headers = {} if header is None else {"Authorization": header}
            answer = await bare.post(f"{path}/chat/completions", json=body, headers=headers)
        assert answer.status_code == 401
        assert answer.json()["error"]["message"].startswith(text)
    assert client is not None
