"""Each profile speaks as its row says, and its books hold what tokens times prices come to."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from proxy.simulator.prices import AUSD_PER_PUSD
from proxy.simulator.profiles.profile import Profile
from proxy.simulator.profiles.table import PROFILES

KEY = "sk-or-v1-0000000000000000000000000000000000000000000000000000000000000007"
PROMPT = "ledger " * 900
OPENAI_LIKE = [profile for profile in PROFILES.values() if profile.kind == "openai"]
CHAT = [profile for profile in OPENAI_LIKE if profile.api == "chat/completions"]
CLASSES = {"cached_tokens": 800, "cache_write_tokens": 200, "reasoning_tokens": 7, "completion_tokens": 9}


def named(profiles: list[Profile]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("profile", profiles, ids=[profile.name for profile in profiles])


async def ask(client: httpx.AsyncClient, profile: Profile, model: str = "", **fields: Any) -> httpx.Response:
    if profile.key_header is not None:
        client.headers[profile.key_header] = client.headers["Authorization"].removeprefix("Bearer ")
    behaviour = fields.pop("behaviour", None)
    body = {"model": model or profile.models[0].id, "messages": [{"role": "user", "content": PROMPT}], **fields}
    if profile.api == "messages":
        body.setdefault("max_tokens", 100)
    headers = {"X-Sim-Behaviour": json.dumps(behaviour)} if behaviour else {}
    if profile.wants is not None:
        headers[profile.wants[0]] = "1"
    return await client.post(f"{profile.path}/{profile.api}", json=body, headers=headers)


async def books(client: httpx.AsyncClient, profile: Profile) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get("/_sim/profiles/books")).json()[profile.name]
    return found


def chunks(answer: httpx.Response) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def told(chunk: dict[str, Any]) -> Any:
    """Return usage of a chunk, wherever it stands."""
    choices = chunk.get("choices") or [{}]
    return chunk.get("usage") or choices[0].get("usage") or chunk.get("x_groq", {}).get("usage")


@named(OPENAI_LIKE)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_the_bill_is_tokens_times_prices(client: httpx.AsyncClient, profile: Profile, stream: bool) -> None:
    answer = await ask(client, profile, stream=stream, behaviour=CLASSES)
    assert answer.status_code == 200, answer.text
    price, found = profile.models[0].price, await books(client, profile)
    tokens = len(PROMPT) // 4 - 1000
    read = price.prompt if price.cache_read is None else price.cache_read
    write = price.prompt if price.cache_write is None else price.cache_write
    ausd = tokens * price.prompt + 800 * read + 200 * write + 16 * price.completion + price.request
    assert found["total_pusd"] == -(-ausd // AUSD_PER_PUSD)
    assert [entry["finished"] for entry in found["generations"].values()] == [True]


@named(CHAT)
async def test_usage_comes_where_the_row_says(client: httpx.AsyncClient, profile: Profile) -> None:
    silent = chunks(await ask(client, profile, stream=True))
    assert bool([chunk for chunk in silent if told(chunk)]) is (profile.told.streamed == "always")
    if profile.known is not None and "stream_options" not in profile.known:
        return
    loud = chunks(await ask(client, profile, stream=True, stream_options={"include_usage": True}))
    places = [chunk for chunk in loud if told(chunk)]
    if profile.told.at == "own_chunk":
        assert [chunk["choices"] for chunk in places] == [[]]
    elif profile.told.at == "every":
        counts = [told(chunk)["completion_tokens"] for chunk in places]
        assert len(places) == len(loud)
        assert counts == sorted(counts)
    else:
        assert places[0]["choices"][0]["finish_reason"] == "stop"


@named(CHAT)
async def test_reasoning_stands_inside_or_beside(client: httpx.AsyncClient, profile: Profile) -> None:
    usage = (await ask(client, profile, behaviour={"reasoning_tokens": 7, "completion_tokens": 9})).json()["usage"]
    beside = profile.told.reasoning == "beside"
    assert usage["completion_tokens"] == (9 if beside else 16)
    assert usage["total_tokens"] == usage["prompt_tokens"] + 16


@named(OPENAI_LIKE)
async def test_every_failure_is_told_in_its_own_form(client: httpx.AsyncClient, profile: Profile) -> None:
    for kind, failure in profile.failures.items():
        answer = await ask(client, profile, f"sim/failure-{kind}")
        assert answer.status_code == failure.status
        assert "{" + "model}" not in answer.text
        if failure.shape in ("object", "array"):
            assert isinstance(answer.json(), list if failure.shape == "array" else dict)
        streamed = await ask(client, profile, f"sim/failure-{kind}", stream=True)
        assert streamed.status_code == (200 if failure.in_stream else failure.status)
    assert (await books(client, profile))["total_pusd"] == 0


@named(OPENAI_LIKE)
async def test_what_is_wrong_by_itself_is_refused(client: httpx.AsyncClient, profile: Profile) -> None:
    client.headers["Authorization"] = "Bearer bad-key"
    assert (await ask(client, profile)).status_code == profile.failures["bad_key"].status
    client.headers["Authorization"] = f"Bearer {KEY}"
    if "unknown_model" in profile.failures:
        assert (await ask(client, profile, "no-such")).status_code == profile.failures["unknown_model"].status
    if profile.known is not None:
        refused = await ask(client, profile, strange_field=1)
        assert profile.strange is not None
        assert refused.status_code == profile.strange.status
        assert "strange_field" in refused.text


@named([profile for profile in OPENAI_LIKE if not profile.bearer])
async def test_a_key_and_a_header_must_be_where_they_belong(client: httpx.AsyncClient, profile: Profile) -> None:
    assert (await ask(client, profile)).status_code == 200
    assert profile.key_header is not None
    assert profile.wants is not None
    del client.headers[profile.key_header]
    body = {"model": profile.models[0].id, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    path = f"{profile.path}/{profile.api}"
    assert (await client.post(path, json=body, headers={profile.wants[0]: "1"})).status_code == 401
    keyed = {profile.key_header: KEY}
    assert (await client.post(path, json=body, headers=keyed)).status_code == profile.wants[1].status


@named(OPENAI_LIKE)
async def test_a_stream_that_breaks_off_costs_what_was_said(client: httpx.AsyncClient, profile: Profile) -> None:
    answer = await ask(client, profile, stream=True, behaviour={"stream_error_after": 3})
    assert answer.status_code == 200
    (entry,) = (await books(client, profile))["generations"].values()
    assert entry["completion_tokens"] == 3
    assert entry["charged_pusd"] > 0


@named(list(PROFILES.values()))
async def test_models_are_listed_as_the_row_says(client: httpx.AsyncClient, profile: Profile) -> None:
    keyed = {} if profile.key_header is None else {profile.key_header: KEY}
    answer = await client.get(f"{profile.path}/models", headers=keyed)
    if profile.listing.form == "missing":
        assert answer.status_code == 404
        return
    found = answer.json()
    items = found if profile.listing.form == "array" else found["data"]
    assert {profile.listing.prefix + row.id for row in profile.models} <= {item["id"] for item in items}


async def test_a_friendly_simulator_greets() -> None:
    from proxy.simulator.server import Simulator

    simulator = Simulator(seed=7, friendly=True)
    await simulator.start()
    try:
        async with httpx.AsyncClient(base_url=simulator.url, trust_env=False) as client:
            body = {"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "What is a toll?"}]}
            headers = {"Authorization": f"Bearer {KEY}"}
            answer = await client.post("/api/v1/chat/completions", json=body, headers=headers)
            assert answer.json()["choices"][0]["message"]["content"].startswith("Hello!")
            assert "What is a toll?" in answer.json()["choices"][0]["message"]["content"]
            torture = await client.post(
                "/api/v1/chat/completions", json={**body, "model": "sim/many-chunks"}, headers=headers
            )
            assert torture.status_code == 200
    finally:
        await simulator.close()


def test_every_row_names_its_sources() -> None:
    import proxy.simulator.profiles as package

    rows = {
        path.stem: path for path in Path(package.__file__).parent.glob("*.py") if "PROFILES = (" in path.read_text()
    }
    assert len(rows) >= 15
    assert [name for name, path in rows.items() if "Sources: " not in path.read_text()[:600]] == []
