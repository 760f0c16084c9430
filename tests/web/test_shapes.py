"""What programs of other makers meet: Anthropic's shape of errors, and a WebSocket that is not spoken."""

from typing import Any

import pytest

from tests.support.installation import token_of
from tests.support.stand import CHAT, Stand

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
    assert (got.status, got.json()["error"]["code"]) == (426, "upgrade_required")
    assert got.header("x-should-retry") == "false"
    got = await stand.ask("GET", path)
    assert (got.status, got.header("Allow")) == (405, "OPTIONS, POST")
