"""Every endpoint through the same pipeline: what the simulator says directly, booked as its books have it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from proxy.simulator.account import key_hash
from tests.endpoints.asked import ASKS, BODIES, CLAUDE, STREAMED, body_of, body_sent, directly, error_of, events
from tests.support.installation import PROVIDER_KEY, token_hash_of, token_of
from tests.support.raw import connect, request_bytes
from tests.support.stand import MESSAGES, MODEL, Stand
from tests.support.stand import stand as run_stand

TWO = ["openai/gpt-4.1-mini", MODEL]
PREFIXES = ("/v1", "/api/v1", "")


@pytest_asyncio.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    more = {
        "presets": {
            "two": TWO,
            "other-first": ["plain/gpt-4o-mini", MODEL],
            "terse": {"targets": [MODEL], "system": "Be {manner}.", "defaults": {"max_tokens": 33, "temperature": 0.5}},
            "phone": {"targets": [{"static": {"default": "One moment."}}]},
        },
        "users": {
            "poor": {
                "token_hash": token_hash_of("poor"),
                "limits": {"cost": {"amount": "0.000000001", "window": "total"}},
            },
            "capped": {"token_hash": token_hash_of("capped"), "max_tokens": 7},
            "narrow": {"token_hash": token_hash_of("narrow"), "models": ["openai/*"]},
        },
    }
    async with run_stand(tmp_path, more) as found:
        yield found


async def agree(stand: Stand, count: int = 1) -> list[dict[str, Any]]:
    """Hold every row against the books, by its generation, and give the rows."""
    rows = await stand.settled(count)
    books = (await stand.sim.books())["generations"]
    booked = {row["generation_id"]: row["cost_pusd"] for row in rows if row["generation_id"]}
    charged = {id_: one["charged_pusd"] for id_, one in books.items()}
    assert {id_: charged.get(id_) for id_ in booked} == booked
    assert sum(booked.values()) == sum(charged.values())
    return rows


@pytest.mark.sampled(0.4)
@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(("path", "stream"), ASKS)
async def test_what_comes_is_what_the_provider_said(stand: Stand, prefix: str, path: str, stream: bool) -> None:
    body = body_of(path, stream=stream)
    await stand.sim.reset()
    direct = await directly(stand, path, body)
    await stand.sim.reset()
    got = await stand.ask("POST", prefix + path, body)
    assert (direct.status, direct.end) == (200, "complete")
    assert (got.status, got.content_type, got.body, got.end) == (200, direct.content_type, direct.body, "complete")
    [row] = await agree(stand)
    assert (row["endpoint"], row["cost_source"], row["streamed"]) == (path[1:], "provider", int(stream))
    assert row["cost_pusd"] > 0
    assert row["input_tokens"] > 0
    assert (row["output_tokens"] > 0) == (path != "/embeddings")


@pytest.mark.parametrize(("path", "stream"), ASKS)
async def test_a_spent_budget(stand: Stand, path: str, stream: bool) -> None:
    """The refusal has the endpoint's shape, and nothing reaches the provider."""
    got = await stand.ask("POST", f"/v1{path}", body_of(path, stream=stream), token=token_of("poor"))
    assert got.status == 402
    assert error_of(path, got)["code"] == "insufficient_quota"
    assert got.header("x-should-retry") == "false"
    assert await stand.sim.requests(path) == []


@pytest.mark.parametrize(("path", "stream"), ASKS)
async def test_the_next_target_answers(stand: Stand, path: str, stream: bool) -> None:
    await stand.sim.behave(f"model:{TWO[0]}", error="overloaded")
    got = await stand.ask("POST", f"/v1{path}", body_of(path, stream=stream, model="two"))
    assert (got.status, got.header("x-tollkeeper-model"), got.header("x-tollkeeper-attempts")) == (200, TWO[1], "2")
    [row] = await agree(stand)
    assert row["attempts"] == 2


@pytest.mark.parametrize("path", STREAMED)
async def test_a_stream_that_fails_before_its_content(stand: Stand, path: str) -> None:
    """An error as the first event: the client sees the next target's answer and nothing else."""
    await stand.sim.behave(f"model:{TWO[0]}", error="overloaded", error_in_200=True)
    got = await stand.ask("POST", f"/v1{path}", body_of(path, stream=True, model="two"))
    assert got.status == 200  # its head may have gone out with a sign of life, and then names the first target
    assert b"error" not in got.body.replace(b'"error":null', b"")
    [row] = await agree(stand)
    assert (row["model"], row["attempts"]) == (TWO[1], 2)


@pytest.mark.parametrize("path", STREAMED)
async def test_a_stream_that_breaks(stand: Stand, path: str) -> None:
    """What came, and then one event in the endpoint's own form of an error."""
    await stand.sim.behave("next", stop_at="after_chunks", stop_after=6, stop_with="rst", completion_tokens=40)
    got = await stand.ask("POST", f"/v1{path}", body_of(path, stream=True))
    assert (got.status, got.end) == (200, "complete")
    last = events(got.body)[-1]
    assert last["error"]["code"] == "upstream_broken"
    kinds = {"/responses": "response.failed", "/messages": "error"}
    assert last.get("type") == kinds.get(path)
    if path == "/responses":
        created = events(got.body)[0]
        assert last["response"]["id"] == created["response"]["id"]
        assert last["response"]["status"] == "failed"
    await agree(stand)


@pytest.mark.parametrize("path", ["/responses", "/messages"])
async def test_a_stream_without_its_last_event(stand: Stand, path: str) -> None:
    """Programs wait for the last of typed events; its cost is known all the same."""
    body = body_of(path, stream=True)
    await stand.sim.reset()
    whole = await directly(stand, path, body)
    last = events(whole.body)[-1]["type"]
    cut = (
        whole.body.index(f'"type":"{last}"'.encode()) if f'"type":"{last}"'.encode() in whole.body else len(whole.body)
    )
    await stand.sim.reset()
    await stand.sim.behave("next", stop_at="after_bytes", stop_after=cut - 30, stop_with="fin")
    got = await stand.ask("POST", f"/v1{path}", body)
    assert got.end == "complete"
    assert (
        events(got.body.replace(whole.body[: cut - 30].rpartition(b"\n\n")[2], b""))[-1]["error"]["code"]
        == "upstream_broken"
    )
    await agree(stand)


@pytest.mark.parametrize("path", STREAMED)
async def test_a_client_that_leaves(stand: Stand, path: str) -> None:
    await stand.sim.behave("next", pace_ms=10, completion_tokens=60, provider="Google")
    client = await connect(stand.port)
    async with client:
        await client.send(
            request_bytes("POST", f"/v1{path}", body_of(path, stream=True, max_tokens=200), token=stand.token)
        )
        await client.read_until(b"data: ")
    [row] = await agree(stand)
    assert row["status"] == 499
    assert "client_gone" in row["flags"]


@pytest.mark.parametrize("path", list(BODIES))
async def test_wrong_bodies(stand: Stand, path: str) -> None:
    for body, code in (
        ({**BODIES[path], "model": None}, "invalid_type"),
        ({name: value for name, value in BODIES[path].items() if name != "model"}, "missing_required_parameter"),
        ({"model": MODEL}, None if path == "/responses" else "missing_required_parameter"),
    ):
        got = await stand.ask("POST", f"/v1{path}", body)
        if code is not None:
            assert (got.status, error_of(path, got)["code"]) == (400, code)
    got = await stand.ask("POST", f"/v1{path}", BODIES[path], token=None)
    assert (got.status, error_of(path, got)["code"]) == (401, "invalid_api_key")
    got = await stand.ask("GET", f"/v1{path}x", token=None)
    assert got.status == 404


async def test_the_maximum_has_each_endpoints_name(stand: Stand) -> None:
    names = {"/chat/completions": "max_tokens", "/completions": "max_tokens", "/responses": "max_output_tokens"}
    for path, name in {**names, "/messages": "max_tokens"}.items():
        body = {key: value for key, value in BODIES[path].items() if key != "max_tokens"}
        got = await stand.ask("POST", f"/v1{path}", body, token=token_of("capped"))
        most = 16 if path == "/responses" else 7  # that endpoint takes none that is smaller
        assert (got.status, got.header("x-tollkeeper-max-tokens")) == (200, str(most)), got.body
        [sent] = await stand.sim.requests(path)
        assert body_sent(sent)[name] == most
        assert sum(key.startswith("max_") for key in body_sent(sent)) == 1
        await stand.sim.forget()
    got = await stand.ask("POST", "/v1/embeddings", BODIES["/embeddings"], token=token_of("capped"))
    [sent] = await stand.sim.requests("/embeddings")
    assert (got.status, [key for key in body_sent(sent) if key.startswith("max_")]) == (200, [])


@pytest.mark.parametrize(
    ("path", "where"), [("/responses", "instructions"), ("/messages", "system"), ("/chat/completions", "messages")]
)
async def test_a_preset_takes_the_endpoints_shape(stand: Stand, path: str, where: str) -> None:
    body = {key: value for key, value in BODIES[path].items() if key != "max_tokens"}
    got = await stand.ask("POST", f"/v1{path}", {**body, "model": "terse", "metadata": {"manner": "kind"}})
    assert got.status == 200, got.body
    [sent] = await stand.sim.requests(path)
    said = body_sent(sent)[where]
    said = said[0]["content"] if where == "messages" else said
    assert said.startswith("Be kind.")
    assert said.endswith("Be short.") == (path == "/responses")
    assert body_sent(sent)["temperature"] == 0.5
    assert "metadata" not in body_sent(sent)
    assert body_sent(sent)["max_output_tokens" if path == "/responses" else "max_tokens"] == 33
    await agree(stand)


async def test_canned_answers_are_chat_completions(stand: Stand) -> None:
    for path in ("/responses", "/messages", "/embeddings", "/completions"):
        got = await stand.ask("POST", f"/v1{path}", {**BODIES[path], "model": "phone"})
        assert (got.status, error_of(path, got)["code"]) == (400, "invalid_value")
    assert (await stand.chat({"model": "phone"})).status == 200


async def test_the_fallbacks_of_a_message(stand: Stand) -> None:
    """Anthropic's way to name more models: they are walked here, and each must be allowed."""
    await stand.sim.behave(f"model:{CLAUDE}", error="overloaded")
    body = body_of("/messages", fallbacks=[{"model": MODEL}])
    got = await stand.ask("POST", "/v1/messages", body)
    assert (got.status, got.header("x-tollkeeper-model")) == (200, MODEL)
    assert all("fallbacks" not in body_sent(sent) for sent in await stand.sim.requests("/messages"))
    await agree(stand)
    refused = await stand.ask(
        "POST",
        "/v1/messages",
        body_of("/messages", model=MODEL, fallbacks=[{"model": CLAUDE}]),
        token=token_of("narrow"),
    )
    assert (refused.status, error_of("/messages", refused)["code"]) == (403, "model_not_allowed")


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_counting_tokens_is_free(stand: Stand, prefix: str) -> None:
    body = {"model": CLAUDE, "messages": MESSAGES}
    direct = await directly(stand, "/messages/count_tokens", body)
    got = await stand.ask(
        "POST", f"{prefix}/messages/count_tokens", body, token=None, headers=[("x-api-key", stand.token)]
    )
    assert (got.status, got.body) == (direct.status, direct.body) == (200, direct.body)
    assert await stand.rows() == []
    got = await stand.ask("POST", f"{prefix}/messages/count_tokens", body, token=token_of("narrow"))
    assert (got.status, error_of("/messages", got)["code"]) == (403, "model_not_allowed")
    got = await stand.ask("POST", f"{prefix}/messages/count_tokens", {"model": CLAUDE})
    assert (got.status, error_of("/messages", got)["code"]) == (400, "missing_required_parameter")


async def test_the_headers_of_anthropics_programs(stand: Stand) -> None:
    headers = [("x-api-key", stand.token), ("anthropic-version", "2023-06-01"), ("anthropic-beta", "tools-2024")]
    got = await stand.ask("POST", "/v1/messages", BODIES["/messages"], token=None, headers=headers)
    assert got.status == 200
    assert got.header("request-id") == got.header("x-request-id")
    [sent] = await stand.sim.requests("/messages")
    received = {name.lower(): value for name, value in sent["headers"]}
    assert received["authorization"] == "sha256:" + key_hash(PROVIDER_KEY)
    assert received["anthropic-version"] == "2023-06-01"
    assert received["anthropic-beta"] == "tools-2024"
    assert "x-api-key" not in received


async def test_many_at_once(stand: Stand) -> None:
    """All endpoints together, and every cent of it in the books."""
    await asyncio.gather(
        *(stand.ask("POST", f"/v1{path}", body_of(path, stream=stream)) for path, stream in ASKS for _ in range(5))
    )
    rows = await agree(stand, 5 * len(ASKS))
    assert {row["endpoint"] for row in rows} == {path[1:] for path in BODIES}


@pytest.mark.parametrize("path", list(BODIES))
async def test_explain_says_what_is_reserved(stand: Stand, path: str) -> None:
    explained = await stand.ask("POST", f"/v1/explain?endpoint={path[1:]}", BODIES[path])
    assert (explained.status, explained.json()["admitted"]) == (200, True), explained.body
    await stand.ask("POST", f"/v1{path}", BODIES[path])
    [row] = await agree(stand)
    assert row["reserved_pusd"] == explained.json()["worst_case_pusd"]
    wrong = await stand.ask("POST", "/v1/explain?endpoint=nothing", BODIES[path])
    assert (wrong.status, wrong.json()["error"]["param"]) == (400, "endpoint")


async def test_counting_goes_on_to_a_target_that_can(stand: Stand) -> None:
    """The first provider has no such path and answers 404; alone, its own answer is passed on."""
    got = await stand.ask("POST", "/v1/messages/count_tokens", {"model": "other-first", "messages": MESSAGES})
    assert (got.status, got.header("x-tollkeeper-provider")) == (200, "openrouter"), got.body
    got = await stand.ask("POST", "/v1/messages/count_tokens", {"model": "plain/gpt-4o-mini", "messages": MESSAGES})
    assert (got.status, got.header("x-tollkeeper-provider")) == (404, "plain"), got.body
    assert await stand.rows() == []
