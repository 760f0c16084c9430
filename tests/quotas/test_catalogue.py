"""Price lists that are broken, move wildly or cannot be fetched: what is set aside is never too little for it."""

import copy
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.quotas.place import INPUT_PUSD, OUTPUT_PUSD, Place, error_of, user
from tests.support.stand import MODEL

Open = Callable[..., Awaitable[Place]]

HARD = {"users": {"anna": user("anna", limits={"cost": "$1000/day"})}}
CACHE = "ledger.db.models-openrouter.json"


def priced(models: list[dict[str, Any]], model: str = MODEL, **pricing: str) -> list[dict[str, Any]]:
    """Give the list with other prices for one model."""
    changed = copy.deepcopy(models)
    (entry,) = [one for one in changed if one["id"] == model]
    entry["pricing"].update(pricing)
    return changed


async def prompt_tokens(place: Place) -> int:
    return (await place.worst_case() - 16 * OUTPUT_PUSD) // INPUT_PUSD


def problem_of(place: Place) -> str | None:
    return place.app.model_lists.listing("openrouter").problem


BROKEN: dict[str, dict[str, Any]] = {
    "no json": {"body": "<html>hello</html>"},
    "empty": {"body": ""},
    "null": {"body": "null"},
    "no list": {"body": '{"data": {}}'},
    "no models": {"body": '{"data": []}'},
    "no ids": {"body": '{"data": [{"pricing": {"prompt": "0", "completion": "0"}}]}'},
    "error": {"error": "server-error"},
    "error in 200": {"error": "server-error", "error_in_200": True},
    "cut off": {"stop_at": "after_bytes", "stop_after": 5000, "stop_with": "rst"},
    "no answer": {"stop_at": "before_headers", "stop_with": "fin"},
}


@pytest.mark.parametrize("behaviour", BROKEN.values(), ids=BROKEN)
async def test_a_broken_list_changes_nothing(opened: Open, behaviour: dict[str, Any]) -> None:
    place = await opened(HARD)
    before = await place.worst_case()
    kept = (place.folder / CACHE).read_bytes()
    await place.sim.behave("path:/models", **behaviour)
    await place.refresh()
    assert problem_of(place) is not None
    assert await place.worst_case() == before
    assert await place.worst_case(model="openai/gpt-4.1-mini") > 0  # a price that nobody had asked for yet
    assert (place.folder / CACHE).read_bytes() == kept
    assert (await place.chat()).status == 200
    await place.sim.normal()
    await place.refresh()
    assert problem_of(place) is None


async def test_prices_that_all_move_are_a_change_of_unit(opened: Open) -> None:
    """A list in USD per thousand tokens instead of per token is refused whole."""
    place = await opened(HARD)
    before = await place.worst_case()
    moved = await place.models()
    for entry in moved:
        dear = {key: f"{Decimal(v) * 1000:f}" for key, v in entry["pricing"].items() if isinstance(v, str)}
        if "-1000" not in dear.values():
            entry["pricing"] = dear
    await place.list_models(moved)
    await place.refresh()
    assert "moved more than tenfold" in (problem_of(place) or "")
    assert await place.worst_case() == before


async def test_a_rise_counts_at_once(opened: Open) -> None:
    place = await opened(HARD)
    tokens = await prompt_tokens(place)
    await place.list_models(priced(await place.models(), prompt="0.00002", completion="0.00008"))
    await place.refresh()
    assert "1 prices moved" in (problem_of(place) or "") or "2 prices moved" in (problem_of(place) or "")
    assert await place.worst_case() == tokens * 20_000_000 + 16 * 80_000_000


async def test_a_fall_does_not_count_until_it_is_confirmed(opened: Open) -> None:
    """The dearer of old and new, and the old copy on disk, so that a restart changes nothing."""
    place = await opened(HARD)
    before = await place.worst_case()
    kept = (place.folder / CACHE).read_bytes()
    cheap = priced(await place.models(), prompt="0.00000001", completion="0.00000002")
    await place.list_models(cheap)
    for _ in range(2):
        await place.refresh()
        assert problem_of(place) is not None
        assert await place.worst_case() == before
    assert (place.folder / CACHE).read_bytes() == kept
    await place.restart()
    assert await place.worst_case() == before
    confirmed = {"providers": {"openrouter": {"prices": {MODEL: {"input": "0.01", "output": "0.02"}}}}}
    await place.configure({**HARD, **confirmed})
    assert await place.worst_case() < before


async def test_less_than_tenfold_is_taken(opened: Open) -> None:
    place = await opened(HARD)
    tokens = await prompt_tokens(place)
    await place.list_models(priced(await place.models(), prompt="0.0000003", completion="0.0000012"))
    await place.refresh()
    assert problem_of(place) is None
    assert await place.worst_case() == tokens * 2 * INPUT_PUSD + 16 * 2 * OUTPUT_PUSD


@pytest.mark.parametrize("price", ["-1", "-0.5", "NaN", "1e400", "cheap", ""])
async def test_what_is_no_price_leaves_its_model_without_one(opened: Open, price: str) -> None:
    """Never 0, and the other models keep theirs."""
    place = await opened(HARD)
    await place.list_models(priced(await place.models(), prompt=price))
    await place.refresh()
    answer = await place.chat()
    assert (answer.status, error_of(answer)["code"]) == (402, "price_unknown")
    assert MODEL in error_of(answer)["message"]
    assert (await place.chat(model="openai/gpt-4o")).status == 200


@pytest.mark.parametrize("flaw", [None, 5, {"id": 7}, {"name": 1, "pricing": {}}], ids=str)
async def test_a_flaw_costs_nobody_else_anything(opened: Open, flaw: Any) -> None:
    """What cannot be read is left out, and the operator can see it; all others keep list, price and place."""
    place = await opened(HARD)
    models = await place.models()
    await place.list_models([*models[:2], flaw, *models[2:]])
    await place.refresh()
    listing = place.app.model_lists.listing("openrouter")
    assert (listing.problem, listing.flaws[0]) == (None, "entry 2 has no id")
    assert (await place.chat()).status == 200


async def test_a_model_that_is_listed_twice(opened: Open) -> None:
    """The dearer price counts, in whichever order they come; no request is refused."""
    place = await opened(HARD)
    tokens = await prompt_tokens(place)
    models = await place.models()
    dear = priced(models, prompt="0.0000003", completion="0.0000012")
    (twin,) = [one for one in dear if one["id"] == MODEL]
    for listed in ([*models, twin], [twin, *models]):
        await place.list_models(listed)
        await place.refresh()
        listing = place.app.model_lists.listing("openrouter")
        assert (listing.problem, listing.flaws) == (None, (f"{MODEL} is there twice",))
        assert await place.worst_case() == tokens * 2 * INPUT_PUSD + 16 * 2 * OUTPUT_PUSD
        assert (await place.chat()).status == 200


async def test_the_last_good_copy_is_there_after_a_restart_without_the_provider(opened: Open) -> None:
    place = await opened(HARD)
    before = await place.worst_case()
    await place.sim.behave("path:/models", stop_at="before_headers", stop_with="rst")
    await place.restart(models_known=False)
    assert await place.worst_case() == before
    assert (await place.chat()).status == 200
    assert place.app.model_lists.listing("openrouter").fetched_ms is not None
    await place.check_books()


@pytest.mark.parametrize("damage", [b"", b"{", b'{"data": []}', b"\xff\xfe"])
async def test_a_damaged_copy_is_no_price_list(opened: Open, damage: bytes) -> None:
    place = await opened(HARD)
    (place.folder / CACHE).write_bytes(damage)
    await place.sim.behave("path:/models", stop_at="before_headers", stop_with="rst")
    await place.restart()
    assert error_of(await place.chat())["code"] == "price_unknown"
    await place.sim.normal()
    await place.refresh()
    assert (await place.chat()).status == 200


async def test_a_changed_price_leaves_what_is_open_alone(opened: Open) -> None:
    place = await opened(HARD)
    await place.sim.behave("next", stop_at="after_chunks", stop_after=1, stop_with="hang", hang_ms=300)
    client = await place.begin_chat(stream=True)
    await place.arrived(1)
    held = (await place.limit())["reserved_pusd"]
    await place.list_models(priced(await place.models(), prompt="0.00002", completion="0.00008"))
    await place.refresh()
    assert (await place.limit())["reserved_pusd"] == held
    await client.read_until(b"[DONE]")
    await place.quiet()
    (row,) = place.rows()
    assert row["reserved_pusd"] == held
    assert (await place.limit())["reserved_pusd"] == 0
    await place.check_books()
