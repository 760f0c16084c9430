"""auto: the models that can do what a request needs, cut to a few before anything is held, with every reason told."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.installation import token_hash_of, token_of
from tests.support.raw import Answer
from tests.support.stand import MESSAGES, Stand
from tests.support.stand import stand as run_stand

LONG, SMALL, EARS, BLIND = "x-ai/grok-4.7", "qwen/qwen3-32b", "google/gemini-2.5-flash", "openai/gpt-oss-20b"
SEES = "openai/gpt-4o"
USERS: dict[str, Any] = {
    "bo": {"limits": {"cost": "$1/day"}},
    "only": {"models": ["auto"], "default_model": "auto"},
    "barred": {"models": ["openai/*"]},
    "alone": {"fallback": "off"},
}
MORE: dict[str, Any] = {
    "auto": {"models": [LONG, SMALL, EARS, SEES, "openai/gpt-oss-*", "openai/not-listed"], "targets_max": 2},
    "users": {name: {"token_hash": token_hash_of(name), **more} for name, more in USERS.items()},
}
PICTURE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}]
SOUND = [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}]}]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stand(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    async with run_stand(tmp_path_factory.mktemp("auto"), MORE) as found:
        for provider in found.app.live.current.providers.values():
            await found.app.model_lists.refresh(provider)
        yield found


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def afresh(stand: Stand) -> None:
    """Begin without what another test has asked and broken, and with the lists of models."""
    await stand.app.live.rebuild()
    await stand.clear()


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def chat(stand: Stand, user: str = "bo", **body: Any) -> Answer:
    body = {"model": "auto", "messages": MESSAGES, "max_tokens": 50, **body}
    return await stand.ask("POST", "/v1/chat/completions", body, token=token_of(user))


async def explained(stand: Stand, **body: Any) -> Any:
    body = {"model": "auto", "messages": MESSAGES, "max_tokens": 50, **body}
    return (await stand.ask("POST", "/v1/explain", body, token=token_of("bo"))).json()


async def test_the_cheapest_that_can_do_the_job_answers(stand: Stand) -> None:
    for body, model in (
        ({}, "openai/gpt-oss-20b:free"),
        ({"messages": PICTURE}, EARS),
        ({"messages": [{"role": "user", "content": "word " * 700_000}]}, EARS),
    ):
        explanation = await explained(stand, **body)
        assert explanation["targets"][0]["model"] == model, explanation["left_out"]
        assert len(explanation["targets"]) <= 2
    answer = await chat(stand)
    assert (answer.status, answer.header("x-tollkeeper-model")) == (200, "openai/gpt-oss-20b:free")
    rows = await stand.settled()
    assert (rows[0]["requested_model"], rows[0]["model"]) == ("auto", "openai/gpt-oss-20b:free")
    await stand.clear()


async def test_what_is_held_is_the_worst_case_of_those_that_are_left(stand: Stand) -> None:
    explanation = await explained(stand)
    kept = [one["model"] for one in explanation["targets"]]
    assert SEES not in kept
    dearest = await explained(stand, model=SEES)
    assert explanation["worst_case_pusd"] < dearest["worst_case_pusd"]


async def test_each_that_is_left_out_is_told_with_its_reason(stand: Stand) -> None:
    reasons = {one["model"]: one["reason"] for one in (await explained(stand, messages=PICTURE))["left_out"]}
    assert reasons[SMALL] == "it does not take images"
    assert reasons["openai/not-listed"] == "its price is not known"
    header = (await chat(stand, messages=PICTURE)).header("x-tollkeeper-left-out") or ""
    assert f"openrouter/{SMALL} (it does not take images)" in header
    targets = (await explained(stand))["targets"]
    assert "USD for this job" in targets[0]["reason"]
    await stand.clear()


async def test_a_need_that_none_fulfils_is_named(stand: Stand) -> None:
    file = [{"role": "user", "content": [{"type": "file", "file": {"file_data": "data:text/plain;base64,AAAA"}}]}]
    for messages, model in ((SOUND, EARS), (file, EARS)):
        assert (await explained(stand, messages=messages))["targets"][0]["model"] == model
    tiny = {**MORE["auto"], "models": [SMALL, BLIND]}
    async with _with_auto(stand, tiny):
        answer = await chat(stand, messages=SOUND)
        error = answer.json()["error"]
        assert (answer.status, error["code"], error["param"]) == (400, "no_model_fits", "model")
        assert "audio" in error["message"]
    async with _with_auto(stand, {"models": ["nothing/*"]}):
        assert (await chat(stand)).status == 503
    assert await stand.rows() == []


class _with_auto:  # noqa: N801 - reads as the verb that it is
    """Lay other settings of auto over those of the running proxy."""

    def __init__(self, stand: Stand, auto: dict[str, Any]) -> None:
        self._stand, self._auto = stand, auto

    async def __aenter__(self) -> None:
        from proxy.config.auto import AutoSettings

        live = self._stand.app.live
        self._before = live.settings
        loaded = live.loaded
        settings = loaded.settings.replaced({"auto": AutoSettings.read(self._auto)})
        live._loaded = type(loaded)(settings, loaded.path, loaded.warnings, loaded.fingerprint, loaded.watched)
        await live.rebuild()

    async def __aexit__(self, *_: object) -> None:
        live, loaded = self._stand.app.live, self._stand.app.live.loaded
        live._loaded = type(loaded)(self._before, loaded.path, loaded.warnings, loaded.fingerprint, loaded.watched)
        await live.rebuild()


async def test_the_operators_order_goes_before_the_price(stand: Stand) -> None:
    settings = {"models": [SEES, BLIND], "quality": [SEES], "weights": {"quality": 5}}
    async with _with_auto(stand, settings):
        assert [one["model"] for one in (await explained(stand))["targets"]] == [SEES, BLIND]


async def test_the_next_of_those_picked_answers_where_the_first_fails(stand: Stand) -> None:
    first, second = [one["model"] for one in (await explained(stand))["targets"]]
    await stand.sim.behave(f"model:{first}", error="server-error")
    answer = await chat(stand)
    assert (answer.status, answer.header("x-tollkeeper-model")) == (200, second)
    assert (await explained(stand))["targets"][0]["model"] == second, "who has failed comes later"
    await stand.settled()
    await stand.clear()


async def test_without_fallback_the_best_alone_is_asked(stand: Stand) -> None:
    first, second = [one["model"] for one in (await explained(stand))["targets"]]
    for user, asked in (("alone", [first]), ("bo", [first, second])):
        for model in (first, second):
            await stand.sim.behave(f"model:{model}", error="server-error")
        assert (await chat(stand, user)).status >= 500
        await stand.ended()
        found = await stand.rows("SELECT DISTINCT model FROM attempts ORDER BY n")
        assert [row["model"] for row in found] == asked, "the same target may be tried twice"
        await stand.clear()


async def test_auto_is_a_model_like_others(stand: Stand) -> None:
    assert (await chat(stand, "barred")).json()["error"]["code"] == "model_not_allowed"
    answer = await stand.ask("POST", "/v1/chat/completions", {"messages": MESSAGES}, token=token_of("only"))
    assert answer.status == 200
    listed = await stand.ask("GET", "/v1/models", token=token_of("only"))
    assert [model["id"] for model in listed.json()["data"]] == ["auto"]
    refused = await chat(stand, models=["auto"], model=SEES)
    assert (refused.status, refused.json()["error"]["param"]) == (400, "models")
    await stand.settled()
    await stand.clear()


async def test_embeddings_are_made_by_what_makes_them(stand: Stand) -> None:
    async with _with_auto(stand, {"models": [SEES, "openai/text-embedding-3-*"]}):
        body = {"model": "auto", "input": "Hi"}
        answer = await stand.ask("POST", "/v1/embeddings", body, token=token_of("bo"))
        assert (answer.status, answer.header("x-tollkeeper-model")) == (200, "openai/text-embedding-3-small")
        assert [one["model"] for one in (await explained(stand))["targets"]] == [SEES]
    await stand.settled()
    await stand.clear()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/responses", {"input": "Hi"}),
        ("/v1/completions", {"prompt": "Hi"}),
        ("/v1/messages", {"messages": MESSAGES, "max_tokens": 20}),
    ],
)
async def test_every_endpoint_has_it(stand: Stand, path: str, body: dict[str, Any]) -> None:
    answer = await stand.ask("POST", path, {"model": "auto", **body}, token=token_of("bo"))
    assert answer.status == 200, answer.body
    assert answer.header("x-tollkeeper-model") == "openai/gpt-oss-20b:free"
    await stand.settled()
    await stand.clear()
