"""A maximum that a limit lowers: no name of the client's is raised, and told is what the target that answered got."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.installation import token_of
from tests.support.raw import ask, connect, request_bytes
from tests.targets.strict import ASKS, USER, Body, Place, error, place

TOLD = "x-tollkeeper-max-tokens"
OWN = 16_384  # of a/b; dear/z has none
CAP = 20_000
HUGE = 10**8
AB, BOTH = "a/b", "both"
PRESETS = {BOTH: {"targets": ["openrouter/a/b", "dear/z"]}, "short": {"targets": "a/b", "defaults": {"max_tokens": 50}}}
LISTED = {
    "id": AB,
    "canonical_slug": AB,
    "context_length": 128_000,
    "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
    "pricing": {"prompt": "0.000001", "completion": "0.000004"},
    "top_provider": {"context_length": 128_000, "max_completion_tokens": OWN},
}
LANES = pytest.mark.parametrize("lane", [True, False], ids=["fast path", "aiohttp"])


def two(one: int | None, other: int | None) -> Body:
    return {"max_tokens": one, "max_completion_tokens": other}


def bounds(body: Body) -> Body:
    return {name: value for name, value in body.items() if name.startswith("max_") and value is not None}


async def ask_thrice(found: Place, fields: Body, path: str = "chat/completions") -> list[tuple[str | None, Body]]:
    """Ask over one connection, so that later ones may go by a plan; give what was told and what had come of bounds."""
    told = []
    async with await connect(found.app.port) as client:
        for n in range(3):
            more = {"messages": [{**USER, "content": f"Hi {n}"}]} if "messages" in ASKS[path] else {}
            body = {**ASKS[path], **more, **fields}
            await client.send(request_bytes("POST", f"/v1/{path}", body, token=token_of("anna")))
            answer = await client.read_answer()
            assert answer.status == 200, answer.body
            told.append(answer.header(TOLD))
    answered = [body for one in found.strict.values() for body in one.bodies]
    return list(zip(told, map(bounds, answered), strict=True))


@LANES
@pytest.mark.parametrize(
    ("model", "fields", "came", "told"),
    [
        (AB, {}, {"max_tokens": OWN}, None),  # what the model gives anyway
        (AB, two(10, 100), two(10, 100), None),
        (AB, two(10, 10_000), two(10, 10_000), None),
        (AB, two(10, HUGE), two(10, OWN), OWN),
        (AB, two(HUGE, 10), two(OWN, 10), OWN),
        (AB, two(17_000, HUGE), two(OWN, OWN), OWN),
        (AB, {"max_tokens": HUGE}, {"max_tokens": OWN}, OWN),
        ("dear/z", {}, {"max_tokens": CAP}, CAP),
        ("dear/z", two(10, HUGE), two(10, CAP), CAP),
        (BOTH, {}, {"max_tokens": OWN}, None),
        (BOTH, two(None, HUGE), {"max_completion_tokens": OWN}, OWN),
        (BOTH, two(18_000, None), {"max_tokens": 18_000}, None),  # no limit changes it: it is the client's
        ("short", two(None, 500), {"max_completion_tokens": 500}, None),
        ("short", two(10, HUGE), two(10, OWN), OWN),
        ("short", two(None, None), {"max_tokens": 50}, None),  # a null is none: the default bounds the answer
        ("short", {"max_tokens": None}, {"max_tokens": 50}, None),
    ],
)
async def test_what_comes_and_what_is_told(
    tmp_path: Path, lane: bool, model: str, fields: Body, came: Body, told: int | None
) -> None:
    more = {"server": {"fast_path": lane}, "presets": PRESETS}
    limits = {"cost": "$100/day", "tokens": "1000000000/day"}
    async with place(tmp_path, more, names=("openrouter", "dear"), limits=limits, max_tokens=CAP) as found:
        await found.list_models("openrouter", LISTED)
        expected = None if told is None else str(told)
        assert await ask_thrice(found, {"model": model, **fields}) == [(expected, came)] * 3


@LANES
async def test_no_name_is_raised_to_what_money_pays_for(tmp_path: Path, lane: bool) -> None:
    more = {"server": {"fast_path": lane}}
    async with place(tmp_path, more, names=("openrouter",), limits={"cost": "$0.02/day"}) as found:
        await found.list_models("openrouter", LISTED)
        for told, came in await ask_thrice(found, {"model": AB, **two(10, 10_000)}):
            assert came == two(10, int(told or 0))
            assert 256 <= int(told or 0) < 2500
        reserved = [row["reserved_pusd"] for row in found.rows()]
        assert all(1000 * 4_000_000 < one <= 10**10 for one in reserved)  # for the greater of both


@LANES
@pytest.mark.parametrize("fields", [{}, two(10, HUGE)])
async def test_told_is_what_the_target_got_that_answered(tmp_path: Path, lane: bool, fields: Body) -> None:
    more = {"server": {"fast_path": lane}, "presets": PRESETS}
    limits = {"cost": "$100/day"}
    async with place(tmp_path, more, names=("openrouter", "dear"), limits=limits, max_tokens=CAP) as found:
        await found.list_models("openrouter", LISTED)
        found.one.refuse = lambda *_: error("no such model", 404)
        answer = await found.ask(BOTH, **fields)
        assert (answer.status, answer.header(TOLD)) == (200, str(CAP))
        (first,), (second,) = (found.strict[name].bodies for name in ("openrouter", "dear"))
        assert bounds(first) == ({**fields, "max_completion_tokens": OWN} if fields else {"max_tokens": OWN})
        assert bounds(second) == ({**fields, "max_completion_tokens": CAP} if fields else {"max_tokens": CAP})


@pytest.mark.parametrize(("path", "name"), [("responses", "max_output_tokens"), ("messages", "max_tokens")])
async def test_at_other_endpoints(tmp_path: Path, path: str, name: str) -> None:
    async with place(tmp_path, names=("openrouter",), limits={"cost": "$100/day"}) as found:
        await found.list_models("openrouter", LISTED)
        fields: dict[str, Any] = {"model": AB, name: HUGE}
        assert await ask_thrice(found, fields, path) == [(str(OWN), {name: OWN})] * 3


@pytest.mark.parametrize("fields", [{}, two(10, HUGE), two(10, 500), {"max_tokens": None}])
@pytest.mark.parametrize("limits", [{"cost": "$100/day"}, {"cost": "$0.05/day"}, {"tokens": "30000/day"}, {}])
@pytest.mark.parametrize("model", [BOTH, "own"])
async def test_explain_tells_what_each_target_would_get(
    tmp_path: Path, model: str, limits: dict[str, str], fields: Body
) -> None:
    own = {"targets": ["openrouter/a/b", {"target": "dear/z", "defaults": {"max_tokens": 900}}]}
    more = {"presets": {**PRESETS, "own": own}}
    async with place(tmp_path, more, names=("openrouter", "dear"), limits=limits, max_tokens=CAP) as found:
        await found.list_models("openrouter", LISTED)
        body = {"model": model, **ASKS["chat/completions"], **fields}
        told = (await ask(found.app.port, "POST", "/v1/explain", body, token=token_of("anna"))).json()
        found.one.refuse = lambda *_: error("no such model", 404)
        assert (await found.ask(model, **fields)).status == 200
        for target, strict in zip(told["targets"], found.strict.values(), strict=True):
            assert target["max_tokens"] == max(bounds(strict.bodies[0]).values(), default=None)
            assert 0 < target["worst_case_pusd"] <= told["worst_case_pusd"]
        (row,) = found.rows()
        assert row["reserved_pusd"] <= told["worst_case_pusd"]  # what the first one refused is reserved for no more
