"""U14: a status that leaves open whether the work was done, and refusals that name a generation all the same."""

import json
from typing import Any

import pytest

from tests.faults.conftest import Open
from tests.faults.place import Place
from tests.faults.raw_upstream import Turn
from tests.faults.told import error, plain
from tests.support.raw import ask

COST_PUSD = 4_000_000
OPEN = [408, 502, 504, 524]  # somebody on the way gave up waiting
REFUSED = [400, 429, 500, 503, 529]
TRIES = {"retry": {"attempts": 3, "backoff_s": 0.01}}


def failing(status: int, *lines: str, **fields: Any) -> bytes:
    return plain(json.dumps({**fields, **error(status, "It did not work")}).encode(), *lines, status=status)


@pytest.mark.parametrize("status", OPEN + REFUSED)
@pytest.mark.parametrize("where", ["head", "body"])
async def test_u14_a_generation_beside_a_failure_is_looked_up(opened: Open, status: int, where: str) -> None:
    place = await opened()
    lines = ("X-Generation-Id: gen-1",) if where == "head" else ()
    fields = {} if where == "head" else {"id": "gen-1"}
    place.upstream.next(Turn((failing(status, *lines, **fields),), {"gen-1": COST_PUSD}))
    assert (await place.chat()).status == status
    assert (await place.figures())[:3] == ("settled", COST_PUSD, "generation")


@pytest.mark.parametrize("status", OPEN + REFUSED)
async def test_u14_a_generation_that_nobody_knows(opened: Open, status: int) -> None:
    """A refusal without a record was none that is billed; one who may still be at work may write it later."""
    place = await opened()
    place.upstream.next(Turn((failing(status, "X-Generation-Id: gen-1"),)))
    assert (await place.chat()).status == status
    row = await place.booked()
    is_open = status in OPEN and status != 502
    found = (row["state"], row["cost_pusd"], row["cost_source"])
    assert found == (("settled", row["reserved_pusd"], "reservation") if is_open else ("released", 0, "none"))


@pytest.mark.parametrize("provider", ["openrouter", "plain"])
@pytest.mark.parametrize("status", OPEN)
async def test_u14_what_may_have_been_billed_is_not_sent_again(opened: Open, status: int, provider: str) -> None:
    place = await opened({"providers": {"openrouter": TRIES, "plain": TRIES}})
    place.upstream.next(Turn((failing(status),)))
    assert (await place.chat(provider)).status == status
    assert len(place.upstream.chats()) == 1
    row = await place.booked()
    assert row["cost_pusd"] == row["reserved_pusd"] > 0


@pytest.mark.parametrize("status", [500, 503])
async def test_u14_a_refusal_is_sent_again_and_free(opened: Open, status: int) -> None:
    place = await opened({"providers": {"openrouter": TRIES}})
    place.upstream.next(Turn((failing(status),)))
    assert (await place.chat()).status == 200
    row = await place.booked(2)
    assert row["cost_pusd"] == place.newest_charge_pusd()


async def test_u14_the_next_target_is_asked_and_both_are_held_for(opened: Open) -> None:
    place = await opened()
    place.upstream.next(Turn((failing(504, "X-Generation-Id: gen-1"),), {"gen-1": COST_PUSD}))
    body: dict[str, Any] = {"models": ["plain/gpt-4o-mini"]}
    assert (await place.chat(**body)).status == 200
    row = await place.booked(2)
    assert row["cost_pusd"] > COST_PUSD
    assert [attempt["cost_source"] for attempt in place.attempts()] == ["generation", "price"]


async def again(place: Place, key: str) -> int:
    fields = {"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "Once"}]}
    headers = [("Idempotency-Key", key)]
    answer = await ask(place.app.port, "POST", "/v1/chat/completions", fields, token=place.token, headers=headers)
    return answer.status


@pytest.mark.parametrize("status", OPEN)
@pytest.mark.parametrize("named", [True, False])
async def test_u14_an_idempotency_key_is_billed_once(opened: Open, status: int, named: bool) -> None:
    place = await opened()
    lines = ("X-Generation-Id: gen-1",) if named else ()
    place.upstream.next(Turn((failing(status, *lines),), {"gen-1": COST_PUSD}))
    assert await again(place, "one") == status
    assert [await again(place, "one") for _ in range(3)] == [409, 409, 409]
    await place.quiet()
    assert await again(place, "one") == 409
    assert len(place.upstream.chats()) == 1


@pytest.mark.parametrize("code", [408, 504, 524])
async def test_u11_a_time_out_told_in_a_200(opened: Open, code: int) -> None:
    """Without a generation to ask for it proves as little as the status of that number."""
    place = await opened()
    place.upstream.next(Turn((plain(error(code, "Timed out")),)))
    assert (await place.chat("plain")).status == 200
    row = await place.booked()
    assert (row["cost_pusd"], row["cost_source"]) == (row["reserved_pusd"], "estimate")


@pytest.mark.parametrize("sent", [{"error": {"message": "Odd"}}, {"error": {"message": "Odd", "code": 500}}])
@pytest.mark.parametrize("stream", [False, True])
async def test_u11_an_error_of_unknown_words_in_a_200(opened: Open, sent: dict[str, Any], stream: bool) -> None:
    """A model may have been at work: the worst case is booked, and the row says why, also where another answers."""
    place = await opened()
    data = json.dumps(sent).encode()
    turn = Turn((plain(b"data: " + data + b"\n\n", type_="text/event-stream") if stream else plain(data),))
    place.upstream.next(turn)
    assert (await place.chat("plain", stream=stream)).status == 200
    row = await place.booked()
    assert (row["cost_pusd"], row["cost_source"]) == (row["reserved_pusd"], "estimate")
    assert "answer_failed" in row["flags"]
    place.upstream.next(turn)
    answer = await place.chat("plain", stream=stream, models=["openai/gpt-4o-mini"])
    assert (answer.status, answer.header("x-tollkeeper-provider")) == (200, "openrouter")
    row = await place.booked(2)
    assert [attempt["cost_source"] for attempt in place.attempts()][-2:] == ["estimate", "provider"]


@pytest.mark.parametrize(
    "sent",
    [
        {"id": "", "object": "", "created": 0, "model": "", "choices": None, "usage": None},
        {"id": "c1", "choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}},
        {"id": "c1", "choices": None, "usage": {"total_tokens": 0}, "base_resp": {"status_code": 1000}},
        {"code": 500, "msg": "404 NOT_FOUND", "success": False},
    ],
    ids=["nulls", "zeros", "base_resp", "code and msg"],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_u11_a_200_that_holds_nothing(opened: Open, sent: dict[str, Any], stream: bool) -> None:
    """It costs nothing, and a route goes on."""
    place = await opened()
    data = json.dumps(sent).encode()
    events = plain(b"data: " + data + b"\n\ndata: [DONE]\n\n", type_="text/event-stream")
    turn = Turn((events if stream else plain(data),))
    place.upstream.next(turn)
    assert (await place.chat("plain", stream=stream)).status == 200
    assert (await place.figures())[:3] == ("released", 0, "none")
    place.upstream.next(turn)
    answer = await place.chat("plain", stream=stream, models=["openai/gpt-4o-mini"])
    assert (answer.status, answer.header("x-tollkeeper-provider")) == (200, "openrouter")
    await place.booked(2)
