"""What programs of other makers meet: the shapes of errors that they read, and a WebSocket that is not spoken."""

import json
from typing import Any

import openrouter
import pytest

from tests.support.installation import token_of
from tests.support.raw import connect, request_bytes
from tests.support.stand import CHAT, MODEL, Stand

TURNS = [{"role": "user", "content": "Hello"}]


def anthropic(got: Any, status: int, type_: str, code: str) -> None:
    body = got.json()
    assert got.status == status
    assert (body["type"], body["error"]["type"], body["error"]["code"]) == ("error", type_, code)
    assert body["request_id"] == got.header("request-id") == got.header("x-request-id")


@pytest.mark.parametrize("prefix", ["/v1", "/api/v1", ""])
@pytest.mark.parametrize("path", ["/messages", "/messages/count_tokens", "/messages?beta=true"])
async def test_errors_at_messages(stand: Stand, prefix: str, path: str) -> None:
    """Whatever is wrong, the answer is one that Anthropic's SDKs read."""
    anthropic(await stand.ask("PUT", prefix + path, token=None), 405, "invalid_request_error", "method_not_allowed")


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/messages/x", "/v1/nothing"])
async def test_errors_elsewhere(stand: Stand, path: str) -> None:
    got = await stand.ask("PUT", path)
    assert set(got.json()) == {"error", "request_id"}
    assert got.header("request-id") is None


OPENROUTER = "/api/v1"  # where programs that were made for it call


@pytest.mark.parametrize("path", ["/chat/completions", "/responses", "/embeddings", "/nothing"])
async def test_errors_for_openrouters_programs(stand: Stand, path: str) -> None:
    """Their SDKs take no code but a number; the same place without /api gives our word."""
    theirs, ours = [await stand.ask("POST", prefix + path, {}) for prefix in (OPENROUTER, "/v1")]
    assert theirs.status == ours.status >= 400
    error, plain = theirs.json()["error"], ours.json()["error"]
    assert error["code"] == theirs.status
    assert error["metadata"] == {"error_type": plain["code"]}
    assert {**error, "code": plain["code"], "metadata": None} == {**plain, "metadata": None}


async def test_errors_on_the_fast_way_and_the_other(stand: Stand) -> None:
    """A connection that was answered in one shape is answered in the other the next time."""
    async with await connect(stand.port) as client:
        for prefix, code in ((OPENROUTER, 400), ("/v1", "missing_required_parameter"), (OPENROUTER, 400)):
            await client.send(request_bytes("POST", f"{prefix}/chat/completions", {}, token=stand.token))
            got = await client.read_answer()
            assert (got.status, got.json()["error"]["code"]) == (400, code)


async def test_a_broken_stream_for_openrouters_programs(stand: Stand) -> None:
    """The last event is a chunk with all that their SDKs ask for, and with no choice."""
    await stand.sim.behave("next", stop_at="after_chunks", stop_after=6, stop_with="rst")
    got = await stand.ask("POST", f"{OPENROUTER}/chat/completions", {"model": MODEL, "messages": TURNS, "stream": True})
    *_, begun, last = [json.loads(line[6:]) for line in got.body.splitlines() if line.startswith(b"data: {")]
    openrouter.components.ChatStreamChunk.model_validate(last)
    assert (last["id"], last["object"], last["choices"]) == (begun["id"], begun["object"], [])
    assert (last["error"]["code"], last["error"]["metadata"]) == (502, {"error_type": "upstream_broken"})
    assert "broke in the middle" in last["error"]["message"]


@pytest.mark.parametrize("name", ["x-api-key", "api-key"])
@pytest.mark.parametrize("path", ["/v1/models", "/v1/key", "/v1/credits", "/v1/me/limits"])
async def test_the_token_in_anthropics_header(stand: Stand, name: str, path: str) -> None:
    got = await stand.ask("GET", path, token=None, headers=[(name, stand.token)])
    assert got.status == 200
    got = await stand.ask("GET", path, token=None, headers=[(name, token_of("nobody"))])
    assert (got.status, got.json()["error"]["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize("path", ["/v1/responses", "/api/v1/responses", "/responses"])
async def test_a_websocket(stand: Stand, path: str) -> None:
    """426, after which Codex goes on by POST."""
    upgrade = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")]
    got = await stand.ask("GET", path, headers=upgrade)
    error = got.json()["error"]
    assert (got.status, error.get("metadata", {}).get("error_type", error["code"])) == (426, "upgrade_required")
    assert got.header("x-should-retry") == "false"
    got = await stand.ask("GET", path)
    assert (got.status, got.header("Allow")) == (405, "OPTIONS, POST")
