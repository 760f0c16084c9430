"""How a provider is sent its key: the first, the second, and one of the user's own."""

import json
from pathlib import Path
from typing import Any

import pytest

from proxy.config.load import load_file
from proxy.providers.build import build_providers
from tests.providers.scripted import Peer, plain, serving
from tests.support.installation import settings, token_hash_of, token_of, write_config
from tests.support.raw import ask
from tests.support.stand import MESSAGES, app_in_loop, models_known

GOOD = {
    "id": "c1",
    "object": "chat.completion",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
KEYS = [{"name": "a", "api_key": "sk-first"}, {"name": "b", "api_key": "sk-second"}]
FIELDS = {"bearer": "authorization", "x-api-key": "x-api-key", "api-key": "api-key"}


def _fields(head: bytes) -> dict[str, str]:
    lines = head.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


@pytest.mark.parametrize("auth", FIELDS)
async def test_every_key_goes_out_as_the_provider_wants_it(tmp_path: Path, auth: str) -> None:
    """In one header and no other; of our own calls and of users' requests; also a key of the user's own."""
    heads: list[dict[str, str]] = []

    async def play(peer: Peer) -> None:
        while request := await peer.request():
            heads.append(_fields(request))
            await peer.send(plain(json.dumps(GOOD).encode(), "Content-Type: application/json"))

    async with serving(play) as server:
        own = {"kind": "openai", "base_url": f"{server.url}/v1", "auth": auth, "keys": KEYS}
        bo = {"token_hash": token_hash_of("bo"), "provider_keys": {"direct": "sk-of-bo"}}
        base = {**settings(server.url, {"users": {"bo": bo}}), "providers": {"direct": own}}
        async with app_in_loop(write_config(tmp_path, base)) as app:
            await models_known(app)
            asked = {"model": "m", "messages": MESSAGES, "max_tokens": 5}
            for user, version in (("anna", None), ("anna", None), ("bo", "2099-01-01")):
                headers = [] if version is None else [("anthropic-version", version)]
                got = await ask(app.port, "POST", "/v1/chat/completions", asked, token=token_of(user), headers=headers)
                assert got.status == 200, got.body
    prefix = "Bearer " if auth == "bearer" else ""
    sent = [head.get(FIELDS[auth]) for head in heads]
    assert sent[0] == f"{prefix}sk-first"  # the list of models
    assert sorted(map(str, sent[1:3])) == [f"{prefix}sk-first", f"{prefix}sk-second"]
    assert sent[3] == f"{prefix}sk-of-bo"
    for head in heads:
        assert [name for name in FIELDS.values() if name in head] == [FIELDS[auth]]
    versions = [head.get("anthropic-version") for head in heads]
    assert versions == [*["2023-06-01" if auth == "x-api-key" else None] * 3, "2099-01-01"]


ADDRESSES = {
    "https://api.anthropic.com/v1": "x-api-key",
    "https://me.openai.azure.com/openai/v1": "api-key",
    "https://me.services.ai.azure.com/openai/v1": "api-key",
    "https://api.openai.com/v1": "bearer",
    "https://openrouter.ai/api/v1": "bearer",
    "https://api.anthropic.com.evil.example/v1": "bearer",
}


@pytest.mark.parametrize("url", ADDRESSES)
async def test_known_addresses(tmp_path: Path, url: str) -> None:
    """The setting is needed for others only, and wins."""
    for more, wanted in (({}, ADDRESSES[url]), ({"auth": "bearer"}, "bearer")):
        provider: dict[str, Any] = {"base_url": url, "api_key": "k", **more}
        path = write_config(tmp_path, {"providers": {"one": provider}})
        rows = build_providers(load_file(path, {}).settings, {})
        row = rows["one"]
        name = "Authorization" if wanted == "bearer" else wanted
        assert [*row.dialect.auth_headers(row.keys[0])] == [name]
        await rows["one"].transport.close()
