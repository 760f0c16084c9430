"""The official openai package gets through the proxy what it gets from the provider: objects, chunks, exceptions."""

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import openai
import pytest
import pytest_asyncio
from pydantic import BaseModel

from tests.support.installation import PROVIDER_KEY
from tests.support.stand import MESSAGES, MODEL, Stand
from tests.support.stand import stand as run_stand

pytestmark = pytest.mark.asyncio(loop_scope="module")

_DOT = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(2000)).decode()
_PICTURE = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_DOT}"}},
        ],
    }
]
_TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
                "required": ["city", "days"],
            },
        },
    }
]


class Weather(BaseModel):
    city: str
    days: int


_SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "weather", "strict": True, "schema": Weather.model_json_schema()},
}

ASKED: dict[str, dict[str, Any]] = {
    "words": {},
    "tools": {"tools": _TOOLS, "tool_choice": "required"},
    "two-tools": {"tools": _TOOLS * 2, "tool_choice": "required", "parallel_tool_calls": True},
    "schema": {"response_format": _SCHEMA},
    "picture": {"messages": _PICTURE},
    "several": {"n": 3},
    "short": {"max_completion_tokens": 3},
    "extra": {"extra_body": {"provider": {"order": ["OpenAI"]}, "session_id": "s-1", "unknown": [1, {"a": None}]}},
    "reasoning": {"model": "sim/reasoning"},
    "refusal": {"model": "sim/refusal"},
    "error in 200": {"model": "sim/error-in-200"},
    "choice error": {"model": "sim/choice-error"},
}


class Sides:
    """The same client twice: straight to the simulator, and through the proxy."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        self._http = [httpx2.AsyncClient(trust_env=False) for _ in range(2)]
        self.direct = self._client(f"http://127.0.0.1:{stand.sim.port}/api/v1", PROVIDER_KEY, 0)
        self.proxied = self._client(f"http://127.0.0.1:{stand.port}/v1", stand.token, 1)

    def _client(self, base_url: str, key: str, n: int) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0, http_client=self._http[n])

    async def close(self) -> None:
        for http in self._http:
            await http.aclose()

    async def both(self, ask: Any) -> tuple[Any, Any]:
        """Ask both sides, the simulator set back before each."""
        found = []
        for client in (self.direct, self.proxied):
            await self.stand.reset()
            found.append(await ask(client))
        return found[0], found[1]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both_sides(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sides]:
    async with run_stand(tmp_path_factory.mktemp("sdk")) as stand:
        found = Sides(stand)
        yield found
        await found.close()


@pytest_asyncio.fixture(loop_scope="module")
async def sides(both_sides: Sides) -> Sides:
    await both_sides.stand.reset()  # no test finds a breaker open that another one's failures opened
    return both_sides


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
async def test_plain(sides: Sides, asked: dict[str, Any]) -> None:
    async def ask(client: openai.AsyncOpenAI) -> dict[str, Any]:
        answer = await client.chat.completions.create(**{"model": MODEL, "messages": MESSAGES, **asked})
        found: dict[str, Any] = answer.model_dump()
        return found

    direct, proxied = await sides.both(ask)
    assert proxied == direct
    assert direct


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
async def test_streamed(sides: Sides, asked: dict[str, Any]) -> None:
    async def ask(client: openai.AsyncOpenAI) -> tuple[list[dict[str, Any]], str | None]:
        fields = {"model": MODEL, "messages": MESSAGES, "stream": True, **asked}
        chunks = []
        try:
            async for chunk in await client.chat.completions.create(**fields):
                chunks.append(chunk.model_dump())  # noqa: PERF401 - what came before the error counts
        except openai.APIError as error:
            return chunks, f"{type(error).__name__} {error.message} {error.body}"
        return chunks, None

    direct, proxied = await sides.both(ask)
    assert proxied == direct
    assert direct[0] or direct[1]


async def test_parsed(sides: Sides) -> None:
    async def ask(client: openai.AsyncOpenAI) -> Any:
        answer = await client.chat.completions.parse(model=MODEL, messages=MESSAGES, response_format=Weather)
        parsed = answer.choices[0].message.parsed
        assert isinstance(parsed, Weather)
        return parsed, answer.model_dump(warnings=False)

    direct, proxied = await sides.both(ask)
    assert proxied == direct


async def test_stream_helper(sides: Sides) -> None:
    """The package's own accumulator of events ends with the same completion."""

    async def ask(client: openai.AsyncOpenAI) -> Any:
        async with client.chat.completions.stream(model=MODEL, messages=MESSAGES) as stream:
            kinds = [event.type async for event in stream]
            return kinds, (await stream.get_final_completion()).model_dump()

    direct, proxied = await sides.both(ask)
    assert proxied == direct


async def test_blocking_client(sides: Sides) -> None:
    """The client without asyncio, in a thread of its own."""
    port = sides.stand.port

    def ask() -> tuple[str | None, str]:
        http = httpx2.Client(trust_env=False)
        with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=sides.stand.token, http_client=http) as sdk:
            plain = sdk.chat.completions.create(model=MODEL, messages=MESSAGES)
            stream = sdk.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
            return plain.choices[0].message.content, "".join(c.choices[0].delta.content or "" for c in stream)

    await sides.stand.reset()
    plain, streamed = await asyncio.to_thread(ask)
    assert plain
    assert streamed


async def test_raw_response_tells_cost_and_request(sides: Sides) -> None:
    raw = await sides.proxied.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES)
    answer = raw.parse()
    assert answer._request_id == raw.headers["x-request-id"]
    (row,) = [row for row in await sides.stand.rows() if row["request_id"] == answer._request_id]
    assert raw.headers["x-tollkeeper-model"] == MODEL
    assert raw.headers["x-tollkeeper-provider"] == "openrouter"
    assert raw.headers["x-tollkeeper-attempts"] == "1"
    assert float(raw.headers["x-tollkeeper-cost-usd"]) * 1e12 == row["cost_pusd"]


# what is passed on: the same class, text and body as from the provider
PASSED_ON = [
    ("error-bad-parameter", openai.BadRequestError),
    ("error-context-length", openai.BadRequestError),
    ("error-invalid-model", openai.BadRequestError),
    ("error-key-limit", openai.PermissionDeniedError),
    ("error-moderation", openai.PermissionDeniedError),
    ("error-no-endpoints", openai.NotFoundError),
    ("error-request-timeout", openai.APIStatusError),
    ("error-precondition", openai.APIStatusError),
    ("error-too-large", openai.APIStatusError),
    ("error-unprocessable", openai.UnprocessableEntityError),
    ("error-gateway-timeout", openai.InternalServerError),
]
# the same of what is tried again first; the text ends with the attempts
TRIED_AGAIN = [
    ("error-upstream-rate-limit", openai.RateLimitError),
    ("error-server-error", openai.InternalServerError),
    ("error-provider-error", openai.InternalServerError),
    ("error-overloaded", openai.InternalServerError),
]
# what the proxy says instead, because it is about the operator's account or the way to the provider
OURS = [
    ("error-user-not-found", openai.InternalServerError, 502, "upstream_auth"),
    ("error-credits-insufficient", openai.APIStatusError, 402, "upstream_no_credits"),
    ("error-html-502", openai.InternalServerError, 502, "upstream_error"),
    ("redirect", openai.InternalServerError, 502, "upstream_redirect"),
    ("rst-before-headers", openai.InternalServerError, 502, "upstream_broken"),
]


async def _error(client: openai.AsyncOpenAI, model: str, *, stream: bool) -> openai.APIStatusError:
    with pytest.raises(openai.APIStatusError) as caught:
        await client.chat.completions.create(model=model, messages=MESSAGES, stream=stream)
    return caught.value


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("name", "kind"), PASSED_ON)
async def test_errors_passed_on(sides: Sides, name: str, kind: type[Exception], stream: bool) -> None:
    direct, proxied = await _both_errors(sides, f"sim/{name}", stream=stream)
    assert _parts_of(proxied) == _parts_of(direct)
    assert type(direct) is kind
    assert "x-should-retry" not in proxied.response.headers


@pytest.mark.sampled(0.5)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("name", "kind"), TRIED_AGAIN)
async def test_errors_passed_on_after_a_retry(sides: Sides, name: str, kind: type[Exception], stream: bool) -> None:
    direct, proxied = await _both_errors(sides, f"sim/{name}", stream=stream)
    assert type(direct) is kind
    attempt = f"sim/{name} at openrouter: {direct.status_code}"
    listed = f" (2 attempts failed: {attempt}, {attempt})"
    _, status, message, body, wait = _parts_of(direct)
    assert isinstance(body, dict)
    body = {**body, "message": f"{body['message']}{listed}"}
    assert _parts_of(proxied) == (kind, status, f"{message}{listed}", body, wait)
    assert proxied.response.headers["x-should-retry"] == "false"
    assert len(await sides.stand.sim.requests()) == 2


async def _both_errors(
    sides: Sides, model: str, *, stream: bool
) -> tuple[openai.APIStatusError, openai.APIStatusError]:
    direct, proxied = await sides.both(lambda client: _error(client, model, stream=stream))
    return direct, proxied


def _parts_of(error: openai.APIStatusError) -> tuple[type[Exception], int, str, object, str | None]:
    return type(error), error.status_code, error.message, error.body, error.response.headers.get("retry-after")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("name", "kind", "status", "code"), OURS)
async def test_errors_of_ours(
    sides: Sides, name: str, kind: type[Exception], status: int, code: str, stream: bool
) -> None:
    error = await _error(sides.proxied, f"sim/{name}", stream=stream)
    assert (type(error), error.status_code, error.code) == (kind, status, code)
    assert error.request_id is not None
    assert error.request_id.startswith("req_")


async def test_a_wrong_token_is_an_authentication_error(sides: Sides) -> None:
    client = sides.proxied.with_options(api_key="tk-wrong")
    error = await _error(client, MODEL, stream=False)
    assert (type(error), error.code) == (openai.AuthenticationError, "invalid_api_key")


async def test_a_broken_stream_is_an_api_error_with_our_text(sides: Sides) -> None:
    stream = await sides.proxied.chat.completions.create(model="sim/rst-after-3-chunks", messages=MESSAGES, stream=True)
    with pytest.raises(openai.APIError, match="broke in the middle"):
        async for _ in stream:
            pass


async def test_models(sides: Sides) -> None:
    names = [model.id async for model in sides.proxied.models.list()]
    assert MODEL in names
    shown = await sides.proxied.models.retrieve(MODEL)
    assert shown.id == MODEL
    with pytest.raises(openai.NotFoundError, match=f'Did you mean "{MODEL}"'):
        await sides.proxied.models.retrieve("gpt-4o-mini")
