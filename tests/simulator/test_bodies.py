"""Every body is held against the models of the official packages, and by hand against what they cannot prove."""

import json
import re
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response
from openrouter import components, operations
from pydantic import TypeAdapter, ValidationError

from proxy.simulator.behaviour import NAMED_BEHAVIOURS
from proxy.simulator.faults import FAULTS
from proxy.simulator.reply import count_prompt

from .sse_lines import chunks, done, events

CHAT = "/api/v1/chat/completions"
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
BODY = {"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "Say something."}], "tools": [TOOL]}

# What is no OpenRouter body on purpose: broken connections, bytes that are no JSON or no number.
UNREADABLE = {
    name
    for name, fields in NAMED_BEHAVIOURS.items()
    if ("stop_at" in fields and "hang_ms" not in fields) or "raw_response" in fields or "body" in fields
} | {"lying-content-encoding", "many-headers", "cost-nan", "cost-huge", "usage-absurd"}
REFUSED = {name for name, fields in NAMED_BEHAVIOURS.items() if "error" in fields and not fields.get("error_in_200")}
OK = sorted(set(NAMED_BEHAVIOURS) - UNREADABLE - REFUSED)
# OpenAI's own lists have neither finish_reason "error" nor null at the end, and no error beside choices.
NOT_OPENAI = {"zero-completion", "choice-error", "padding-then-error", "error-in-200", "cost-string", "usage-null"}


async def ask(client: httpx.AsyncClient, name: str, *, stream: bool) -> httpx.Response:
    body = {**BODY, "stream": stream}
    if name == "fallback":
        body["models"] = ["anthropic/claude-haiku-4.5"]
    return await client.post(CHAT, json=body, headers={"X-Sim-Behaviour": name})


@pytest.mark.sampled(0.3)
@pytest.mark.parametrize("name", OK)
async def test_a_whole_answer_is_valid_for_both_packages(client: httpx.AsyncClient, name: str) -> None:
    answer = await ask(client, name, stream=False)
    assert answer.status_code == 200
    body = json.loads(answer.content.decode("utf-8-sig", "replace").lstrip())
    if "error" in body:
        assert name in {"padding-then-error", "error-in-200"}
        assert isinstance(body["error"]["code"], int)
        assert "choices" not in body
        return
    if name == "usage-null":
        assert body["usage"] is None
        return
    components.ChatResult.model_validate(body)
    if name not in NOT_OPENAI:
        ChatCompletion.model_validate(body)
    assert body["provider"]
    assert "native_finish_reason" in body["choices"][0]
    assert body["id"] == answer.headers.get("x-generation-id", body["id"])


@pytest.mark.sampled(0.3)
@pytest.mark.parametrize("name", OK)
async def test_every_chunk_is_valid_for_both_packages(client: httpx.AsyncClient, name: str) -> None:
    answer = await ask(client, name, stream=True)
    assert answer.status_code == 200
    found = chunks(answer.content)
    assert found
    for chunk in found:
        if "choices" not in chunk:
            assert name in {"padding-then-error", "error-in-200"}
            assert chunk["error"]["code"] == 502
            continue
        if name == "midstream-error-string-code" and "error" in chunk:
            assert chunk["error"]["code"] == "server_error"
            continue
        if chunk.get("usage", {}) is None:
            assert name == "usage-null"
            continue
        components.ChatStreamChunk.model_validate(chunk)
        if "error" not in chunk and name not in NOT_OPENAI:
            ChatCompletionChunk.model_validate(chunk)
        assert chunk["provider"]
    assert done(answer.content) is _ends_with_done(NAMED_BEHAVIOURS[name])


def _ends_with_done(fields: dict[str, Any]) -> bool:
    if "stream_error_after" in fields or "error" in fields:
        return bool(fields.get("stream_error_done", False))
    return bool(fields.get("done", True))


@pytest.mark.sampled(0.3)
@pytest.mark.parametrize("name", sorted(FAULTS))
@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_has_openrouters_shape(client: httpx.AsyncClient, name: str, stream: bool) -> None:
    answer = await ask(client, f"error-{name}", stream=stream)
    fault = FAULTS[name]
    assert answer.status_code == fault.status
    if fault.body == "html":
        assert answer.headers["content-type"].startswith("text/html")
        assert answer.text.startswith("<!DOCTYPE html>")
        return
    error = answer.json()["error"]
    assert error["code"] == fault.status
    assert "{model}" not in answer.text
    assert "type" not in error
    if fault.reset_after_ms is not None:
        assert answer.headers["x-ratelimit-reset"] == str(1_793_539_200_000 + fault.reset_after_ms)
    assert answer.headers.get("retry-after") == fault.headers.get("Retry-After")


async def test_the_models_see_a_missing_field() -> None:
    """The check of the official packages can fail at all."""
    with pytest.raises(ValidationError):
        components.ChatResult.model_validate({"id": "gen-1", "choices": []})


@pytest.mark.parametrize(
    ("shape", "choices"),
    [("A", [("stop", "completed")]), ("B", [(None, None)]), ("C", [])],
)
async def test_the_usage_chunk_has_three_shapes(client: httpx.AsyncClient, shape: str, choices: list[Any]) -> None:
    fields = json.dumps({"usage_shape": shape})
    answer = await client.post(CHAT, json={**BODY, "stream": True}, headers={"X-Sim-Behaviour": fields})
    last = chunks(answer.content)[-1]
    assert [(c["finish_reason"], c["native_finish_reason"]) for c in last["choices"]] == choices
    assert last["usage"]["cost"] > 0


async def test_usage_comes_where_the_behaviour_says(client: httpx.AsyncClient) -> None:
    places = {}
    for name in ("ok", "usage-first", "usage-every", "usage-twice", "usage-after-done", "usage-missing"):
        answer = await ask(client, name, stream=True)
        found = events(answer.content)
        places[name] = [n for n, event in enumerate(found) if '"usage":{' in event["data"]]
        last = len(found) - 1
    assert last > 3
    assert places["ok"] == [last]  # the chunk before [DONE]; usage-missing has one event less
    assert places["usage-first"] == [0]
    assert len(places["usage-every"]) == 17
    assert places["usage-twice"] == [last, last + 1]
    assert places["usage-after-done"] == [last + 1]
    assert places["usage-missing"] == []


async def test_comments_padding_and_line_ends_are_on_the_wire(client: httpx.AsyncClient) -> None:
    assert (await ask(client, "padding", stream=False)).content.startswith(b"\n         \n" * 5 + b"{")
    many = (await ask(client, "many-comments", stream=True)).content
    assert many.startswith(b": OPENROUTER PROCESSING\n\n" * 30 + b"data: ")
    assert b"\n\n: OPENROUTER PROCESSING\n\n: OPENROUTER" in many
    assert b"\r\n\r\n" in (await ask(client, "crlf", stream=True)).content
    cr = (await ask(client, "cr", stream=True)).content
    assert b"\n" not in cr
    assert b"data: [DONE]\r\r" in cr
    assert (await ask(client, "bom", stream=True)).content.startswith(b"\xef\xbb\xbf")
    assert b"\xff\xfe" in (await ask(client, "invalid-utf8", stream=True)).content
    assert b"\nid: 1\ndata: " in (await ask(client, "id-lines", stream=True)).content
    assert b"event: message\n" in (await ask(client, "event-lines", stream=True)).content


@pytest.mark.parametrize("literal", ["1.68e-4", "0.00012345678901234567", '"0.1"', "-1", "null", "NaN", "1e400"])
@pytest.mark.parametrize("stream", [False, True])
async def test_the_cost_literal_is_sent_verbatim(client: httpx.AsyncClient, literal: str, stream: bool) -> None:
    fields = json.dumps({"cost_literal": literal})
    answer = await client.post(CHAT, json={**BODY, "stream": stream}, headers={"X-Sim-Behaviour": fields})
    assert f'"cost":{literal},"is_byok":false' in answer.text


async def test_many_choices_are_said_and_counted(client: httpx.AsyncClient) -> None:
    whole = (await client.post(CHAT, json={**BODY, "n": 3})).json()
    assert [choice["index"] for choice in whole["choices"]] == [0, 1, 2]
    assert whole["usage"]["completion_tokens"] == 48
    streamed = chunks((await client.post(CHAT, json={**BODY, "n": 3, "stream": True})).content)
    assert {choice["index"] for chunk in streamed for choice in chunk["choices"]} == {0, 1, 2}
    assert streamed[-1]["usage"]["completion_tokens"] == 48


async def test_the_maximum_of_the_request_holds(client: httpx.AsyncClient) -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        body = (await client.post(CHAT, json={**BODY, name: 5})).json()
        assert body["usage"]["completion_tokens"] == 5
        assert body["choices"][0]["finish_reason"] == "length"
    tools = {**BODY, "tool_choice": "required", "max_tokens": 2}
    assert (await client.post(CHAT, json=tools)).json()["usage"]["completion_tokens"] == 2


async def test_openrouters_own_fallback_names_and_charges_the_model_that_answered(client: httpx.AsyncClient) -> None:
    body = {**BODY, "models": ["no/such-model", "anthropic/claude-sonnet-4.5"]}
    fields = json.dumps({"fail_models": ["openai/gpt-4o-mini"], "served_model": "permaslug"})
    answer = (await client.post(CHAT, json=body, headers={"X-Sim-Behaviour": fields})).json()
    assert answer["model"] == "anthropic/claude-4.5-sonnet-20250929"
    assert answer["provider"] == "Anthropic"
    tokens = answer["usage"]
    assert round(tokens["cost"] * 1e6) == 3 * tokens["prompt_tokens"] + 15 * tokens["completion_tokens"]
    alone = await client.post(CHAT, json=BODY, headers={"X-Sim-Behaviour": fields})
    assert alone.status_code == 502


async def test_equal_sequences_give_equal_bytes(client: httpx.AsyncClient) -> None:
    async def run(extra: dict[str, Any]) -> list[tuple[bytes, dict[str, Any]]]:
        await client.post("/_sim/reset", json={"seed": 7, "created": 1_793_539_200})
        answers = []
        for name in OK:
            for stream in (False, True):
                body = {**BODY, "stream": stream, **extra}
                answer = await client.post(CHAT, json=body, headers={"X-Sim-Behaviour": name})
                answers.append((answer.content, dict(answer.headers)))
        return answers

    assert await run({}) == await run({"usage": {"include": True}})


@pytest.mark.parametrize("name", ["ok", "reasoning", "refusal", "byok", "length", "usage-missing"])
async def test_responses_are_valid_for_both_packages(client: httpx.AsyncClient, name: str) -> None:
    asked = {"model": f"sim/{name}", "input": "Say something."}
    whole = (await client.post("/api/v1/responses", json=asked)).json()
    components.OpenResponsesResult.model_validate(whole)
    Response.model_validate(whole)
    answer = await client.post("/api/v1/responses", json={**asked, "stream": True})
    assert answer.text.startswith(": \n\n")
    assert done(answer.content)
    found = chunks(answer.content)
    for number, event in enumerate(found):
        assert event["sequence_number"] == number
        TypeAdapter(components.StreamEvents).validate_python(event)
    assert found[-1]["response"].get("usage") == whole.get("usage")


async def test_a_failed_response_stream_says_so(client: httpx.AsyncClient) -> None:
    asked = {"model": "sim/midstream-error-after-3", "input": "Say something.", "stream": True}
    answer = await client.post("/api/v1/responses", json=asked)
    assert chunks(answer.content)[-1]["type"] == "response.failed"
    assert not done(answer.content)


async def test_embeddings_are_valid(client: httpx.AsyncClient) -> None:
    asked = {"model": "openai/text-embedding-3-small", "input": ["a", "b"]}
    body = (await client.post("/api/v1/embeddings", json=asked)).json()
    operations.CreateEmbeddingsResponseBody.model_validate(body)
    assert len(body["data"]) == 2
    assert body["usage"]["cost"] == 0.00000002


async def test_ids_look_like_the_real_ones(client: httpx.AsyncClient) -> None:
    made = [(await client.post(CHAT, json=BODY)) for _ in range(50)]
    ids = {answer.json()["id"] for answer in made}
    assert len(ids) == 50
    assert all(re.fullmatch(r"gen-1793539200-[0-9A-Za-z]{20}", found) for found in ids)
    assert all(answer.headers["x-generation-id"] == answer.json()["id"] for answer in made)


parts = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, st.text(max_size=40)),
    st.builds(lambda url: {"type": "image_url", "image_url": {"url": url}}, st.text(max_size=40)),
)
contents = st.text(max_size=200) | st.lists(parts, max_size=5) | st.none()


@given(st.lists(st.builds(lambda content: {"role": "user", "content": content}, contents), min_size=1, max_size=5))
def test_a_prompt_never_has_more_tokens_than_bytes(messages: list[Any]) -> None:
    body = {"model": "m", "messages": messages}
    assert 1 <= count_prompt(body) <= len(json.dumps(body, ensure_ascii=False).encode())
    assert count_prompt(body) == count_prompt({**body, "usage": {"include": True}})
