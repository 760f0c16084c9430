"""What can cost money is in the bound, or refused by name under a hard limit, and passed on without one."""

import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.quotas.place import (
    INPUT_PUSD,
    MODEL_CONTEXT,
    OUTPUT_PUSD,
    Place,
    cost,
    error_of,
    user,
)
from tests.support.stand import MODEL

Open = Callable[..., Awaitable[Place]]

UNLISTED = "sim/ok"  # served and charged by the simulator, and in no list of models
HARD = {"cost": "$1000/day"}
SOFT = {"cost": {"amount": "$1000", "window": "day", "mode": "soft"}}
OPUS_INPUT_PUSD, OPUS_OUTPUT_PUSD = 6_250_000, 25_000_000  # writing to the cache is the dearest input
FREE = "openai/gpt-oss-20b:free"


def world(limits: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"users": {"anna": user("anna", limits=limits), "rich": user("rich", limits=HARD)}, **more}


async def lists_fetched(place: Place) -> int:
    return len([one for one in await place.sim.requests("/models") if one["path"] == "/api/v1/models"])


async def test_an_unknown_price_is_refused_under_a_hard_limit(opened: Open) -> None:
    """By name, and the list is fetched once, not with every request."""
    place = await opened(world(HARD))
    for _ in range(3):
        answer = await place.chat(model=UNLISTED)
        assert (answer.status, error_of(answer)["code"]) == (402, "price_unknown")
        assert f'"{UNLISTED}"' in error_of(answer)["message"]
        assert answer.header("x-should-retry") == "false"
    assert await lists_fetched(place) == 0  # it was fetched a moment ago, at the start
    place.clock.ahead_s += 31
    for _ in range(3):
        assert (await place.chat(model=UNLISTED)).status == 402
    assert await lists_fetched(place) == 1
    assert await place.sim.requests() == []
    assert place.rows() == []


async def test_a_new_model_works_as_soon_as_it_is_listed(opened: Open) -> None:
    place = await opened(world(HARD))
    listed = await place.models()
    await place.sim.forget()
    old = next(model for model in listed if model["id"] == MODEL)
    fresh = {**old, "id": UNLISTED, "canonical_slug": UNLISTED}
    await place.list_models([*listed, fresh], delay_ms=100)
    assert (await place.chat(model=UNLISTED)).status == 402
    place.clock.ahead_s += 31
    first = await place.begin_chat(model=UNLISTED)
    second = await place.begin_chat(model=UNLISTED)  # the fetch that the first began is waited for
    for client in (first, second):
        assert (await client.read_answer()).status == 200
        await client.close()
    assert await lists_fetched(place) == 1
    await place.check_books()


@pytest.mark.parametrize("limits", [{}, SOFT, {"requests": "60/minute"}], ids=["none", "soft", "requests"])
async def test_an_unknown_price_travels_on_without_one(opened: Open, limits: dict[str, Any]) -> None:
    """It is booked at what the provider says; the row shows that nothing was known beforehand."""
    place = await opened(world(limits))
    answer = await place.chat(model=UNLISTED)
    assert answer.status == 200
    (row,) = place.rows()
    assert row["reserved_pusd"] is None
    assert (row["state"], row["cost_source"]) == ("settled", "provider")
    assert row["cost_pusd"] > 0
    await place.check_books()


async def test_an_unknown_price_under_a_spent_soft_limit(opened: Open) -> None:
    place = await opened(world({"cost": cost(1, mode="soft")}))
    assert (await place.chat(model=UNLISTED)).status == 200
    answer = await place.chat(model=UNLISTED)
    assert (answer.status, error_of(answer)["code"]) == (402, "insufficient_quota")


@pytest.mark.parametrize("model", ["openrouter/auto", "openrouter/pareto-code"])
async def test_minus_one_is_no_price(opened: Open, model: str) -> None:
    """A router's price depends on the model that it picks."""
    place = await opened(world(HARD))
    answer = await place.chat(model=model)
    assert (answer.status, error_of(answer)["code"]) == (402, "price_unknown")
    await place.configure(world({}))
    assert (await place.chat(model=model)).status == 200
    await place.check_books()


async def test_free_models_are_free_when_the_budget_is_spent(opened: Open) -> None:
    place = await opened(world({"cost": cost(1)}))
    assert (await place.chat()).status == 402
    assert (await place.chat(model=FREE)).status == 200
    await place.charge(1)
    assert (await place.chat(model=FREE)).status == 200  # it cost something all the same: booked
    await place.sim.normal()
    assert (await place.limit())["remaining_pusd"] == 0
    assert (await place.chat(model=FREE)).status == 200
    assert (await place.chat(model=FREE, models=[MODEL])).status == 402  # not free as soon as one target is not
    assert (await place.chat(model="openai/gpt-4o-mini:free")).status == 402  # unlisted, so unknown: never free
    first, second, third = place.rows()
    assert [row["reserved_pusd"] for row in (first, second, third)] == [0, 0, 0]
    assert second["flags"] == "over_reservation"
    await place.check_books()


async def test_fallbacks_of_the_client_count_at_the_dearest(opened: Open) -> None:
    """The provider chooses among several models: the dearest is set aside, the one that served booked."""
    place = await opened(world(HARD))
    alone = await place.worst_case(max_tokens=300)
    together = await place.worst_case(max_tokens=300, models=["anthropic/claude-opus-5", "openai/gpt-5-nano"])
    assert together > 30 * alone
    await place.sim.behave("next", fail_models=[MODEL])
    answer = await place.chat(max_tokens=300, models=["anthropic/claude-opus-5"])
    assert answer.json()["model"] == "anthropic/claude-opus-5"
    (row,) = place.rows()
    assert alone < row["reserved_pusd"]
    assert 16 * OPUS_OUTPUT_PUSD < row["cost_pusd"] <= row["reserved_pusd"]
    assert row["flags"] is None
    await place.check_books()
    for model in (UNLISTED, "openrouter/auto"):  # it is left out, as long as another remains
        answer = await place.chat(models=[model])
        assert (answer.status, answer.json()["model"]) == (200, MODEL)
        assert answer.header("x-tollkeeper-left-out") == f"openrouter/{model} (no price)"
        answer = await place.chat(model=model, models=[UNLISTED])
        assert (answer.status, error_of(answer)["code"]) == (402, "price_unknown")
        assert answer.header("x-tollkeeper-left-out") is None


async def test_a_free_model_with_a_paid_fallback_is_paid(opened: Open) -> None:
    place = await opened(world(HARD))
    await place.sim.behave("next", fail_models=[FREE])
    assert (await place.chat(model=FREE, models=["openai/gpt-4o"])).json()["model"] == "openai/gpt-4o"
    (row,) = place.rows()
    assert 0 < row["cost_pusd"] <= row["reserved_pusd"]
    await place.check_books()


PICTURE = base64.b64encode(bytes(range(256)) * 40).decode()
PARTS: dict[str, dict[str, Any]] = {
    "image as data": {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}},
    "image by address": {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
    "audio": {"type": "input_audio", "input_audio": {"data": PICTURE, "format": "wav"}},
    "file": {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PICTURE}"}},
    "video": {"type": "video_url", "video_url": {"url": "https://example.com/cat.mp4"}},
    "something new": {"type": "hologram", "hologram": {"url": "https://example.com/cat"}},
}


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
async def test_media_count_as_the_whole_context(opened: Open, part: dict[str, Any]) -> None:
    place = await opened(world(HARD))
    message = {"role": "user", "content": [{"type": "text", "text": "What is it?"}, part]}
    worst = await place.worst_case(messages=[message], max_tokens=16)
    assert worst == MODEL_CONTEXT * INPUT_PUSD + 16 * OUTPUT_PUSD
    assert (await place.chat(messages=[message])).status == 200
    (sent,) = await place.arrived(1)
    assert sent["messages"] == [message]
    await place.configure(world({"cost": cost(worst - 1)}))
    assert (await place.chat(messages=[message])).status == 402
    await place.check_books()


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "web plugin": ({"plugins": [{"id": "web"}]}, "plugin web"),
    "file parser": ({"plugins": [{"id": "file-parser", "pdf": {"engine": "mistral-ocr"}}]}, "plugin file-parser"),
    "web search": ({"web_search_options": {"search_context_size": "high"}}, "web search (web_search_options)"),
    "search parameters": ({"search_parameters": {"mode": "on"}}, "web search (search_parameters)"),
    "online": ({"model": f"{MODEL}:online"}, f"web search ({MODEL}:online)"),
    "online fallback": (
        {"model": f"{MODEL}:online", "models": ["openai/gpt-5:online"]},
        f"web search ({MODEL}:online), web search (openai/gpt-5:online)",
    ),
    "server tool": ({"tools": [{"type": "openrouter:web_search"}]}, "server tool openrouter:web_search"),
    "dated server tool": ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "server tool web_search"),
    "service tier": ({"service_tier": "priority"}, "service tier priority"),
    "preset of the provider": ({"model": f"{MODEL}@preset/mine"}, "a preset of the provider"),
    "image output": ({"modalities": ["image", "text"]}, "image output"),
}


@pytest.mark.parametrize(("fields", "name"), REFUSED.values(), ids=REFUSED)
async def test_what_no_price_bounds_is_refused_by_name(opened: Open, fields: dict[str, Any], name: str) -> None:
    place = await opened(world(HARD))
    answer = await place.chat(**fields)
    assert (answer.status, error_of(answer)["code"]) == (402, "price_unknown")
    assert answer.header("x-should-retry") == "false"
    assert await place.sim.requests() == []
    if "preset" not in name:  # such a name has no price either, and that is told first
        assert name in error_of(answer)["message"]
    for limits in ({}, SOFT):
        await place.configure(world(limits))
        answer = await place.chat(**fields)
        (sent,) = (await place.sim.requests())[-1:]
        body = json.loads(sent["json"])
        travels = {key: value for key, value in fields.items() if key != "models"}  # that list is walked here
        assert {key: body[key] for key in travels} == travels
    await place.quiet()


@pytest.mark.parametrize(
    "fields",
    [
        {"plugins": [{"id": "web", "enabled": False}]},
        {"plugins": [{"id": "context-compression"}]},
        {"service_tier": "default"},
        {"service_tier": "flex"},
        {"model": f"{MODEL}:nitro"},
        {"model": f"{MODEL}:floor"},
        {"tools": [{"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}]},
    ],
    ids=["plugin off", "compression", "default tier", "flex", "nitro", "floor", "own tool"],
)
async def test_what_costs_nothing_more_passes(opened: Open, fields: dict[str, Any]) -> None:
    place = await opened(world(HARD))
    assert (await place.chat(**fields)).status == 200
    await place.check_books()


async def test_prices_that_rise_with_the_prompt(opened: Open) -> None:
    """Above 200,000 tokens gemini-2.5-pro costs 2.50 and 15 instead of 1.25 and 10, for all of its tokens."""
    place = await opened(world(HARD))
    model = "google/gemini-2.5-pro"

    async def worst(size: int) -> int:
        return await place.worst_case("rich", model=model, messages=[{"role": "user", "content": "x" * size}])

    base = await worst(1000)
    input_tokens = (base - 16 * 10_000_000) // 1_250_000
    below = 1000 + 200_000 - input_tokens  # makes the bound exactly 200,000 tokens
    assert await worst(below) == 200_000 * 1_250_000 + 16 * 10_000_000
    assert await worst(below + 1) == 200_001 * 2_500_000 + 16 * 15_000_000
    await place.sim.behave("next", prompt_tokens=200_001)
    text = [{"role": "user", "content": "x" * (below + 1)}]
    assert (await place.chat(model=model, messages=text)).status == 200
    (row,) = place.rows()
    assert row["cost_pusd"] == row["reserved_pusd"]
    assert row["flags"] is None
    await place.check_books()


async def test_every_byte_may_be_a_token(opened: Open) -> None:
    """Three bytes a character, and a token for each of them: still inside what was set aside."""
    place = await opened(world(HARD))
    text = "猫" * 2000
    await place.sim.behave("next", prompt_tokens=3 * len(text))
    assert (await place.chat(messages=[{"role": "user", "content": text}])).status == 200
    (row,) = place.rows()
    assert row["cost_pusd"] <= row["reserved_pusd"]
    assert row["flags"] is None
    await place.check_books()


async def test_no_context_length_no_bound(opened: Open) -> None:
    """The operator's own price names no context, so an image has no bound."""
    place = await opened(world(HARD))
    image = [{"role": "user", "content": [PARTS["image by address"]]}]
    answer = await place.chat(model="plain/gpt-4o-mini", messages=image)
    assert (answer.status, error_of(answer)["code"]) == (402, "price_unknown")
    assert "no context length" in error_of(answer)["message"]
    answer = await place.chat(model="plain/gpt-4o-mini", max_tokens=None)
    assert "no max_tokens in the request" in error_of(answer)["message"]
    assert (await place.chat(model="plain/gpt-4o-mini")).status == 200


ALLOWED = ["openai/gpt-4o*", "fast"]


@pytest.mark.parametrize("level", ["user", "group", "defaults"])
async def test_allow_lists(opened: Open, level: str) -> None:
    """Globs on the name that the client sends, presets and fallbacks included."""
    more = {
        "presets": {"fast": ["openai/gpt-5-nano"], "slow": ["openai/gpt-4o"]},
        "groups": {"family": {"models": ALLOWED} if level == "group" else {}},
        "defaults": {"models": ALLOWED} if level == "defaults" else {},
        "users": {"anna": user("anna", group="family", **({"models": ALLOWED} if level == "user" else {}))},
    }
    place = await opened(more)
    for model in (MODEL, "openai/gpt-4o", "fast"):
        assert (await place.chat(model=model)).status == 200, model
    for fields in ({"model": "openai/gpt-5"}, {"model": "slow"}, {"models": [MODEL, "openai/gpt-5"]}):
        answer = await place.chat(**fields)
        assert (answer.status, error_of(answer)["code"]) == (403, "model_not_allowed"), fields
        asked = fields.get("model", "openai/gpt-5")
        assert error_of(answer)["message"] == (
            f'User "anna" may use: openai/gpt-4o*, fast. Ask the operator to add "{asked}" to users.anna.models.'
        )
    assert len(await place.sim.requests()) == 3
    shown = (await place.ask("anna", "GET", "/v1/me/limits")).json()
    assert shown["models"] == ALLOWED


async def test_a_preset_that_leads_to_web_search(opened: Open) -> None:
    """What its target's name asks for counts, and not only what the client's name for it says."""
    place = await opened(world(HARD, presets={"searching": [f"{MODEL}:online"]}))
    answer = await place.chat(model="searching")
    assert (answer.status, error_of(answer)["code"]) == (402, "price_unknown")
    assert error_of(answer)["message"].count(f"web search ({MODEL}:online)") == 1
    assert await place.sim.requests() == []


async def test_a_model_without_a_maximum_needs_one_from_somebody(opened: Open) -> None:
    """From the client, or from the operator for the user: that one is written into the request, and told."""
    providers = {"openrouter": {"prices": {"sim/*": {"input": "0.25", "output": 2}}}}
    place = await opened(world(HARD, providers=providers))
    answer = await place.chat(model=UNLISTED, max_tokens=None)
    assert (answer.status, error_of(answer)["code"]) == (402, "price_unknown")
    assert "no max_tokens in the request" in error_of(answer)["message"]
    assert (await place.chat(model=UNLISTED, max_tokens=40)).status == 200
    capped = {"users": {"anna": user("anna", limits=HARD, max_tokens=300)}, "providers": providers}
    await place.configure(capped)
    answer = await place.chat(model=UNLISTED, max_tokens=None)
    assert (answer.status, answer.header("x-tollkeeper-max-tokens")) == (200, "300")
    assert [sent["max_tokens"] for sent in await place.arrived(2)] == [40, 300]
    await place.check_books()


async def test_own_prices_win(opened: Open) -> None:
    """prices: of the configuration, by glob, over the provider's list; the first that fits."""
    prices = {"openai/gpt-4o-mini": {"input": 1, "output": 2}, "sim/*": {"input": 0, "output": 0}}
    place = await opened(world(HARD))
    listed = await place.worst_case()
    await place.configure(world(HARD, providers={"openrouter": {"prices": prices}}))
    own = await place.explain()
    tokens = (listed - 16 * OUTPUT_PUSD) // INPUT_PUSD
    assert own["worst_case_pusd"] == tokens * 1_000_000 + 16 * 2_000_000
    assert (await place.explain(model=UNLISTED))["worst_case_pusd"] == 0
    assert (await place.chat(model=UNLISTED)).status == 200
    assert place.rows()[-1]["flags"] == "over_reservation"  # the operator said free, the provider charged
    await place.check_books()
