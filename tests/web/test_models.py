"""GET /v1/models: what may be asked for, from memory, whatever the providers are doing."""

from pathlib import Path

import pytest

from tests.support.control import Controls
from tests.support.installation import settings, token_of, write_config
from tests.support.patience import eventually
from tests.support.raw import ask
from tests.support.stand import MODEL, Stand, app_in_loop
from tests.support.stand import stand as run_stand

PRESETS = {"presets": {"fast": [MODEL], "house": "plain/gpt-4o-mini"}}


async def test_list(tmp_path: Path) -> None:
    """OpenAI's shape with OpenRouter's fields; presets first, the default provider's names plain, others prefixed."""
    async with run_stand(tmp_path, PRESETS) as stand:
        got = await stand.ask("GET", "/v1/models")
        assert (got.status, got.content_type) == (200, "application/json")
        body = got.json()
        assert body["object"] == "list"
        names = [model["id"] for model in body["data"]]
        assert names[:2] == ["fast", "house"]
        assert len(names) == len(set(names))
        assert {MODEL, "plain/gpt-4o-mini", "anthropic/claude-haiku-4.5"} <= set(names)
        for model in body["data"]:
            assert model["object"] == "model"
            assert isinstance(model["created"], int)
            assert isinstance(model["owned_by"], str)
        (mini,) = [model for model in body["data"] if model["id"] == MODEL]
        assert mini["pricing"]["prompt"] == "0.00000015"
        assert mini["context_length"] > 0
        assert got.header("x-request-id")


@pytest.mark.parametrize("path", ["/v1/models", "/api/v1/models", "/models"])
async def test_one(stand: Stand, path: str) -> None:
    """By its name, with the slash as it is or encoded as SDKs do."""
    for name in (MODEL, MODEL.replace("/", "%2F"), "plain%2Fgpt-4o-mini"):
        got = await stand.ask("GET", f"{path}/{name}")
        assert got.status == 200
        assert got.json()["object"] == "model"
    assert got.json()["id"] == "plain/gpt-4o-mini"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("gpt-4o-mini", f'Did you mean "{MODEL}"?'),
        ("openai/gpt4o-mini", f'Did you mean "{MODEL}"?'),
        ("zzzzzzzz", "GET /v1/models lists the"),
    ],
)
async def test_unknown(stand: Stand, name: str, hint: str) -> None:
    got = await stand.ask("GET", f"/v1/models/{name}")
    error = got.json()["error"]
    assert (got.status, error["code"], error["param"]) == (404, "model_not_found", "model")
    assert hint in error["message"]


async def test_while_no_provider_answers(tmp_path: Path, sim: Controls) -> None:
    """Without any list the presets are there at once; with a copy on disk all of the last start's models are."""
    down = settings("http://127.0.0.1:9", PRESETS)
    up = settings(sim.url, PRESETS)
    token = token_of("anna")
    path = write_config(tmp_path, down)
    async with app_in_loop(path) as app:
        body = (await ask(app.port, "GET", "/v1/models", token=token)).json()
        assert [model["id"] for model in body["data"]] == ["fast", "house"]
    write_config(tmp_path, up)
    async with app_in_loop(path) as app:

        async def listed() -> bool:
            return b"claude" in (await ask(app.port, "GET", "/v1/models", token=token)).body

        await eventually(listed)

        async def saved() -> bool:
            return all((tmp_path / f"ledger.db.models-{name}.json").exists() for name in ("openrouter", "plain"))

        await eventually(saved)
        all_ = (await ask(app.port, "GET", "/v1/models", token=token)).json()["data"]
    write_config(tmp_path, down)
    async with app_in_loop(path) as app:
        again = (await ask(app.port, "GET", "/v1/models", token=token)).json()["data"]
    assert [model["id"] for model in again] == [model["id"] for model in all_]
