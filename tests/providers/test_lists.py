"""Lists of models as servers give them, through the catalogue: what is offered, and what bounds a request."""

import asyncio
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from proxy.app import App
from tests.providers.scripted import Peer, always, plain, serving
from tests.support.installation import settings, token_hash_of, token_of, write_config
from tests.support.raw import ask
from tests.support.stand import MESSAGES, app_in_loop, models_known

LISTS: dict[str, Any] = {
    "vLLM": {"object": "list", "data": [{"id": "m", "object": "model", "max_model_len": 4096}]},
    "Together": [{"id": "m", "type": "chat", "context_length": 4096}],
    "Groq": {"object": "list", "data": [{"id": "m", "context_window": 4096, "max_completion_tokens": 1024}]},
    "Mistral": {"object": "list", "data": [{"id": "m", "max_context_length": 4096}]},
    "LM Studio": {"data": [{"id": "m", "max_context_length": 131072, "loaded_context_length": 4096}]},
    "llama.cpp": {"models": [{"name": "m"}], "data": [{"id": "m", "meta": {"n_ctx_train": 4096}}]},
    "Gemini": {"models": [{"name": "m", "inputTokenLimit": 3072, "outputTokenLimit": 1024}]},
    "by id": {"data": {"m": {"context_length": 4096}}},
    "flawed": {"data": [None, {"id": "m", "context_length": 4096}, {"id": "m", "context_length": 9}]},
}
OUTPUTS = {"Groq": 1024, "Gemini": 1024}
PRICES = {"*": {"input": 1, "output": 10}}


def _config(url: str, **provider: Any) -> Mapping[str, Any]:
    own = {"kind": "openai", "base_url": f"{url}/v1", "prices": PRICES, **provider}
    base = settings(url, {"users": {"anna": {"token_hash": token_hash_of("anna"), "limits": {"cost": "$100/day"}}}})
    return {**base, "providers": {"local": own}}


@pytest.mark.parametrize("name", LISTS)
async def test_what_a_list_says_counts(tmp_path: Path, name: str) -> None:
    """The model is offered, and its lengths bound what a request may cost: no max_tokens is needed under a limit."""
    body = json.dumps(LISTS[name]).encode()
    async with serving(always(plain(body, "Content-Type: application/json"))) as server:
        path = write_config(tmp_path, _config(server.url))
        async with app_in_loop(path) as app:
            await models_known(app)
            assert app.model_lists.listing("local").problem is None
            token = token_of("anna")
            listed = (await ask(app.port, "GET", "/v1/models", token=token)).json()["data"]
            assert [model["id"] for model in listed] == ["m"]
            row = app.live.current.providers["local"]
            assert app.model_lists.facts(row, "m").context_tokens == 4096
            price = app.model_lists.price(row, "m")
            assert price is not None
            assert price.output_limit_tokens == OUTPUTS.get(name, 4096)
            asked = {"model": "m", "messages": MESSAGES}
            quoted = (await ask(app.port, "POST", "/v1/explain", asked, token=token)).json()
            assert quoted["admitted"], quoted


DEEP = b'{"data":[{"id":"m","x":' + b"[" * 300 + b"]" * 300 + b"}]}"


@pytest.mark.parametrize("body", [b'{"error": {"message": "busy"}}', b"<html></html>", b"", b"[null]", DEEP])
async def test_a_list_that_is_none_refuses_nobody(tmp_path: Path, body: bytes) -> None:
    """Where the operator has given prices, requests go on; the problem can be seen."""
    async with serving(always(plain(body))) as server:
        path = write_config(tmp_path, _config(server.url))
        async with app_in_loop(path) as app:
            await models_known(app)
            assert app.model_lists.listing("local").problem
            asked = {"model": "m", "messages": MESSAGES, "max_tokens": 9}
            quoted = (await ask(app.port, "POST", "/v1/explain", asked, token=token_of("anna"))).json()
            assert quoted["admitted"], quoted


class _AskAgain(logging.Handler):
    """Refreshes the list once more as it is logged that a fetch has failed: the fetch ends in the same turn."""

    def __init__(self, app: App) -> None:
        super().__init__()
        self._app = app
        self.asked: list[asyncio.Task[None]] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg == "prices.refresh_failed" and not self.asked:
            lists, row = self._app.model_lists, self._app.live.current.providers["local"]
            self.asked.append(asyncio.ensure_future(lists.refresh(row)))


async def test_a_fetch_that_has_just_ended_is_not_joined(tmp_path: Path) -> None:
    """Its list is of before: who asks then, because a model is new, has to get the list of now."""
    bodies = [LISTS["vLLM"], {"error": "busy"}, LISTS["vLLM"]]

    async def play(peer: Peer) -> None:
        while await peer.request():
            await peer.send(plain(json.dumps(bodies.pop()).encode(), "Content-Type: application/json"))

    async with serving(play) as server, app_in_loop(write_config(tmp_path, _config(server.url))) as app:
        await models_known(app)
        log, again = logging.getLogger("tollkeeper.catalogue"), _AskAgain(app)
        log.addHandler(again)
        try:
            await app.model_lists.refresh(app.live.current.providers["local"])
        finally:
            log.removeHandler(again)
        await asyncio.gather(*again.asked)
        assert bodies == []
        assert app.model_lists.listing("local").problem is None
