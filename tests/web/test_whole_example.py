"""The shipped example, asked everything that can be asked: whoever asks gets an answer, and nothing fails inside."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.web.admin.routes import CALLS
from proxy.web.routes import ROUTES
from tests.support.installation import ADMIN_TOKEN, token_of
from tests.support.leaks import nothing_leaks
from tests.support.raw import Answer, ask, exchange, request_bytes
from tests.support.shipped import ENVIRONMENT, write_shipped
from tests.support.stand import MESSAGES, app_in_loop, models_known, simulator

SAID = [{"role": "user", "content": "Good evening."}]
MORE_GETS = ("/v1/models/chat", "/v1/models/phone", "/v1/models/openai%2Fgpt-4o-mini", "/readyz?verbose", "/nothing")
EMBEDDED = {"model": "openai/text-embedding-3-small", "input": "Good evening."}
PLAIN = {"model": "openai/gpt-4o-mini", "messages": MESSAGES, "prompt": "Good evening.", "input": "Good evening."}
WHO = {"user": token_of("ci"), "operator": ADMIN_TOKEN, "nobody": None}


def _questions(presets: Iterator[str]) -> Iterator[tuple[str, str, Any]]:
    gets = sorted(path for method, path in ROUTES if method == "GET")
    for path in (*gets, *MORE_GETS):
        yield "GET", path, None
        yield "HEAD", path, None
        yield "OPTIONS", path, None
    for path in sorted(path for method, path in ROUTES if method == "POST"):
        yield "POST", path, EMBEDDED if path.endswith("/embeddings") else {**PLAIN, "max_tokens": 50}
        yield "POST", path, {}
    for name in presets:
        for more in ({}, {"stream": True}, {"metadata": {"nothing": "x"}}):
            yield "POST", "/v1/chat/completions", {"model": name, "messages": SAID, **more}
        for endpoint in ("chat/completions", "messages", "responses", "completions"):
            body = {"model": name, "messages": SAID, "prompt": "Hi", "input": "Hi", "max_tokens": 10}
            yield "POST", f"/v1/explain?endpoint={endpoint}", body
    yield from (("POST", f"/admin/v1/{name.replace('.', '/')}", {}) for name in CALLS)


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "general"])
async def test_asked_everything(tmp_path: Path, caplog: pytest.LogCaptureFixture, *, lane: bool) -> None:
    environ = {
        **ENVIRONMENT,
        "TOLLKEEPER_ADMIN_TOKEN": ADMIN_TOKEN,
        "TOLLKEEPER_SERVER__FAST_PATH": str(lane).lower(),
        "TOLLKEEPER_DEFAULTS__LIMITS": "{cost: $100/day, requests: 10000/minute}",  # else most are refused by 429
    }
    async with nothing_leaks(), simulator() as sim:
        path = write_shipped(tmp_path, sim.url)
        async with app_in_loop(path, environ) as app:
            await models_known(app)
            presets = list(app.live.current.presets)
            failed = []
            for method, target, body in _questions(iter(presets)):
                for who, token in WHO.items():
                    data = request_bytes(method, target, body, token=token)
                    got = await exchange(app.port, data, head_only=method == "HEAD")
                    if (
                        got.status == 429
                        or got.status >= 500
                        or (who == "nobody" and method == "POST" and got.status < 400)
                    ):
                        failed.append((who, method, target, body, got.status, got.body[:300]))
            assert failed == []
            listed = await ask(app.port, "GET", "/v1/models", token=WHO["user"])
            _presets_are_listed(listed, presets)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def _presets_are_listed(got: Answer, presets: list[str]) -> None:
    assert got.status == 200
    models = {model["id"]: model for model in got.json()["data"]}
    assert set(presets) <= set(models)
    assert models["phone"]["description"].endswith("canned answers")
    assert models["phone"]["context_length"] > 0
