"""GET /v1/models: what may be asked for, from memory, whatever the providers are doing."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from proxy.pipeline.services import Services
from proxy.pipeline.values.allowance import Allowance
from proxy.web.model_list import ModelListCache
from tests.support.control import Controls
from tests.support.installation import settings, token_hash_of, token_of, write_config
from tests.support.patience import eventually
from tests.support.raw import ask, connect, request_bytes
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


USERS = {"users": {"bo": {"token_hash": token_hash_of("bo"), "models": ["fast", "anthropic/*", "plain/gpt-4o*"]}}}


async def test_only_what_the_token_may_use(tmp_path: Path) -> None:
    """The list, one model, and the count in the refusal all follow the user's models."""
    async with run_stand(tmp_path, {**PRESETS, **USERS}) as stand:
        got = await stand.ask("GET", "/v1/models", token=token_of("bo"))
        names = [model["id"] for model in got.json()["data"]]
        assert names[0] == "fast"
        assert "house" not in names
        assert {"anthropic/claude-haiku-4.5", "plain/gpt-4o-mini"} <= set(names)
        assert all(name == "fast" or name.startswith(("anthropic/", "plain/gpt-4o")) for name in names)
        hidden = await stand.ask("GET", f"/v1/models/{MODEL}", token=token_of("bo"))
        assert (hidden.status, hidden.json()["error"]["code"]) == (404, "model_not_found")
        assert f"lists the {len(names)} you may use" in hidden.json()["error"]["message"]
        assert (await stand.ask("GET", f"/v1/models/{MODEL}")).status == 200
        everything = await stand.ask("GET", "/v1/models")
        assert len(everything.json()["data"]) > len(names)


async def test_a_preset_has_the_figures_of_its_first_target(tmp_path: Path) -> None:
    """Clients build their token and price tables from the list; a preset must not be a hole in it."""
    preset = {"presets": {"both": ["anthropic/claude-haiku-4.5", MODEL], "nowhere": ["plain/no-such-model"]}}
    async with run_stand(tmp_path, preset) as stand:
        models = {model["id"]: model for model in (await stand.ask("GET", "/v1/models")).json()["data"]}
        both, haiku, mini = models["both"], models["anthropic/claude-haiku-4.5"], models[MODEL]
        assert both["pricing"] == haiku["pricing"]
        assert both["context_length"] == min(haiku["context_length"], mini["context_length"])
        assert (both["name"], both["owned_by"]) == ("both", "tollkeeper")
        assert "pricing" not in models["nowhere"]
        one = (await stand.ask("GET", "/v1/models/both")).json()
        assert one == both


def allowance_of(services: Services, user: str) -> Allowance:
    row = services.live.current.directory.find(token_hash_of(user).removeprefix("sha256:"))
    assert row is not None
    return row.identity.allowance


async def test_the_list_is_encoded_once(tmp_path: Path) -> None:
    """The same bytes are given until a provider's list or the configuration is another; HEAD has their length."""
    async with run_stand(tmp_path, {**PRESETS, **USERS}) as stand:
        services, shelf = stand.app.services, ModelListCache()
        allowance = allowance_of(services, "bo")
        first = shelf.shown(services, allowance, 1_793_539_200_000)
        assert shelf.shown(services, allowance, 1_793_539_999_000) is first
        others = shelf.shown(services, replace(allowance, models=None), 1_793_539_999_000)
        assert len(others.models) > len(first.models)
        assert shelf.shown(services, allowance, 1_793_539_999_000) is first
        await services.model_lists.refresh(next(iter(services.live.current.providers.values())))
        again = shelf.shown(services, allowance, 1_793_540_999_000)
        assert again is not first
        assert again.body == first.body
        got = await stand.ask("GET", "/v1/models")
        async with await connect(stand.port) as client:
            await client.send(request_bytes("HEAD", "/v1/models", token=stand.token))
            head = await client.read_answer(head_only=True)
        assert (head.status, head.header("Content-Length")) == (200, str(len(got.body)))


async def test_many_lists(tmp_path: Path) -> None:
    """However many different lists of names there are, only some are kept."""
    async with run_stand(tmp_path, PRESETS) as stand:
        services, shelf = stand.app.services, ModelListCache()
        allowance = allowance_of(services, "anna")
        for n in range(100):
            shown = shelf.shown(services, replace(allowance, models=(f"nothing-{n}", "fast")), 1)
            assert list(shown.models) == ["fast"]
        assert len(shelf._shown) <= 32
