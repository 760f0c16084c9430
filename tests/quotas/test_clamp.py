"""max_tokens is lowered to what the money pays for, told by a header, and never below what is of use."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.quotas.place import (
    INPUT_PUSD,
    MODEL_OUTPUT_MAX,
    OUTPUT_PUSD,
    Place,
    cost,
    error_of,
    usd,
    user,
)
from tests.support.book import limiter_of
from tests.support.patience import eventually

Open = Callable[..., Awaitable[Place]]

OPENCODE = 32_000  # what opencode asks for on every call
RICH = user("rich", limits={"cost": "$1000"})
TOLD = "x-tollkeeper-max-tokens"


def world(anna: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"users": {"rich": RICH, "anna": user("anna", **anna)}, **more}


def anna_with(pusd: int, **quotas: Any) -> dict[str, Any]:
    return world({"limits": {"cost": cost(pusd)}}, quotas=quotas)


async def opened_with(opened: Open, tokens: int, factor: int = 1, plus: int = 0, **quotas: Any) -> Place:
    """Open with a limit that pays factor times for the prompt and so many tokens of an answer, and plus pico-USD."""
    place = await opened(world({}))
    prompt = await place.input_tokens(max_tokens=OPENCODE)
    limit = factor * (prompt * INPUT_PUSD + tokens * OUTPUT_PUSD) + plus
    await place.configure(anna_with(limit, **quotas))
    return place


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_lowered_to_half_of_what_is_left(opened: Open, stream: bool, name: str) -> None:
    place = await opened_with(opened, 1000, factor=2)
    fields = {"max_tokens": None, name: OPENCODE}
    prompt = await place.input_tokens(**fields, stream=stream)
    await place.configure(anna_with(2 * (prompt * INPUT_PUSD + 1000 * OUTPUT_PUSD)))
    answer = await place.chat(**fields, stream=stream)
    assert answer.status == 200
    assert answer.header(TOLD) == "1000"
    (sent,) = await place.arrived(1)
    assert sent[name] == 1000
    assert {key for key in ("max_tokens", "max_completion_tokens") if sent.get(key) is not None} == {name}
    (row,) = place.rows()
    assert row["reserved_pusd"] == prompt * INPUT_PUSD + 1000 * OUTPUT_PUSD


async def test_a_client_that_names_no_maximum(opened: Open) -> None:
    """The model's own is written into the request, or what is left pays for."""
    place = await opened(world({"limits": {"cost": "$1000"}}))
    assert (await place.chat(max_tokens=None)).header(TOLD) is None
    prompt = await place.input_tokens(max_tokens=None)
    await place.charge(0)
    await place.configure(anna_with(10**15 + 2 * (prompt * INPUT_PUSD + 300 * OUTPUT_PUSD) + 1))
    used = (await place.limit())["used_pusd"]
    await place.configure(anna_with(used + 2 * (prompt * INPUT_PUSD + 300 * OUTPUT_PUSD) + 1))
    assert (await place.chat(max_tokens=None)).header(TOLD) == "300"
    first, second = await place.arrived(2)
    assert (first["max_tokens"], second["max_tokens"]) == (MODEL_OUTPUT_MAX, 300)


async def test_what_the_model_cannot_give_is_told_too(opened: Open) -> None:
    """The client named more than was written."""
    place = await opened(world({"limits": {"cost": "$1000"}}))
    assert (await place.chat(max_tokens=OPENCODE)).header(TOLD) == str(MODEL_OUTPUT_MAX)
    (sent,) = await place.arrived(1)
    assert sent["max_tokens"] == MODEL_OUTPUT_MAX


async def test_without_a_hard_cost_limit_nothing_is_touched(opened: Open) -> None:
    place = await opened(world({"limits": {"cost": cost(10**12, mode="soft"), "requests": "60/minute"}}))
    answer = await place.chat(max_tokens=OPENCODE)
    assert answer.header(TOLD) is None
    answer = await place.chat(max_tokens=None)
    assert answer.header(TOLD) is None
    first, second = await place.arrived(2)
    assert first["max_tokens"] == OPENCODE
    assert second["max_tokens"] is None


async def test_never_below_256(opened: Open) -> None:
    """256 tokens may take all that is left; with a pico-USD less the request is refused, and the text says why."""
    place = await opened_with(opened, 256)
    shown = await place.explain(max_tokens=OPENCODE)
    assert (shown["admitted"], shown["max_tokens"]) == (True, 256)
    limit = shown["worst_case_pusd"]
    assert limit == (await place.limit())["limit_pusd"]
    await place.configure(anna_with(limit - 1))
    answer = await place.chat(max_tokens=OPENCODE)
    assert answer.status == 402
    error = error_of(answer)
    assert error["code"] == error["type"] == "insufficient_quota"
    assert error["message"] == (
        f"This request needs ${usd(limit)} even with max_tokens 256; ${usd(limit - 1)} is left of the budget of"
        ' user "anna", enough for max_tokens 255. Send a shorter prompt, ask for fewer tokens, or use a cheaper model.'
    )
    assert answer.header("x-should-retry") == "false"
    await place.configure(anna_with(limit))
    assert (await place.chat(max_tokens=OPENCODE)).header(TOLD) == "256"
    (sent,) = await place.arrived(1)
    assert sent["max_tokens"] == 256


async def test_a_smaller_wish_of_the_client_is_left_alone(opened: Open) -> None:
    place = await opened(world({}))
    prompt = await place.input_tokens(max_tokens=40)
    limit = prompt * INPUT_PUSD + 40 * OUTPUT_PUSD
    await place.configure(anna_with(limit - 1))
    answer = await place.chat(max_tokens=40)
    assert answer.status == 402
    assert "even with max_tokens 40;" in error_of(answer)["message"]
    assert "enough for max_tokens 39." in error_of(answer)["message"]
    await place.configure(anna_with(limit))
    answer = await place.chat(max_tokens=40)
    assert (answer.status, answer.header(TOLD)) == (200, None)
    (sent,) = await place.arrived(1)
    assert sent["max_tokens"] == 40


async def test_a_prompt_that_cannot_be_paid(opened: Open) -> None:
    place = await opened(anna_with(1000))
    message = error_of(await place.chat())["message"]
    assert message.endswith('is left of the budget of user "anna". Send a shorter prompt, or use a cheaper model.')
    assert "$0.000000001 is left" in message


async def test_all_or_nothing(opened: Open) -> None:
    """on_over_budget: refuse never changes the request."""
    place = await opened_with(opened, 1000, on_over_budget="refuse")
    answer = await place.chat(max_tokens=OPENCODE)
    assert answer.status == 402
    assert f"even with max_tokens {MODEL_OUTPUT_MAX};" in error_of(answer)["message"]
    answer = await place.chat(max_tokens=1000)
    assert (answer.status, answer.header(TOLD)) == (200, None)
    (sent,) = await place.arrived(1)
    assert sent["max_tokens"] == 1000


async def test_two_calls_of_one_turn_both_pass(opened: Open) -> None:
    """A title and the answer are asked for at once, each with 32000: both are lowered, both are let in."""
    place = await opened(anna_with(10**10))
    await place.sim.behave("all", delay_ms=200)
    answers = await asyncio.gather(*(place.chat(max_tokens=OPENCODE, stream=True) for _ in range(2)))
    assert [answer.status for answer in answers] == [200, 200]
    first, second = sorted((sent["max_tokens"] for sent in await place.arrived(2)), reverse=True)
    assert MODEL_OUTPUT_MAX > first > second >= 256
    assert {answer.header(TOLD) for answer in answers} == {str(first), str(second)}
    rows = place.rows()
    assert sum(row["reserved_pusd"] for row in rows) <= 10**10
    await place.check_books()


async def test_waits_for_the_reservation_of_another(opened: Open) -> None:
    """Only open requests are in the way: the second waits until the first has ended, then passes."""
    place = await opened_with(opened, 256, plus=30_000_000, wait_s=30)  # what a short answer costs is left over
    await place.sim.behave("next", stop_at="after_chunks", stop_after=1, stop_with="hang", hang_ms=400)
    first = await place.begin_chat(max_tokens=OPENCODE, stream=True)
    await place.arrived(1)
    second = asyncio.ensure_future(place.chat(max_tokens=256))

    async def waits() -> bool:
        return bool(limiter_of(place.app.services)._waiting)

    await eventually(waits)
    assert len(await place.sim.requests()) == 1
    assert b"200 OK" in await first.read_until(b"[DONE]")
    assert (await second).status == 200
    await first.close()
    await place.check_books()


@pytest.mark.parametrize("wait_s", [0, 0.2])
async def test_does_not_wait_for_ever(opened: Open, wait_s: float) -> None:
    place = await opened_with(opened, 256, plus=30_000_000, wait_s=wait_s)
    await place.sim.behave("next", stop_at="after_chunks", stop_after=1, stop_with="hang")
    first = await place.begin_chat(max_tokens=OPENCODE, stream=True)
    await place.arrived(1)
    answer = await place.chat(max_tokens=256)
    assert answer.status == 402
    assert "is left of the budget" in error_of(answer)["message"]
    await first.hang_up()
    await place.quiet()
    assert (await place.chat(max_tokens=256)).status == 200


async def test_whoever_hangs_up_while_waiting_takes_nothing(opened: Open) -> None:
    place = await opened_with(opened, 256, plus=30_000_000, wait_s=30)
    await place.sim.behave("next", stop_at="after_chunks", stop_after=1, stop_with="hang")
    first = await place.begin_chat(max_tokens=OPENCODE, stream=True)
    await place.arrived(1)
    second = await place.begin_chat(max_tokens=256)

    async def waits() -> bool:
        return bool(limiter_of(place.app.services)._waiting)

    await eventually(waits)
    await second.hang_up()
    await first.hang_up()
    await place.quiet()
    assert (await place.limit())["reserved_pusd"] == 0
    assert len(await place.sim.requests()) <= 2
    await place.check_books()


@pytest.mark.parametrize(("asked", "sent", "told"), [(500, 100, "100"), (100, 100, None), (50, 50, None)])
@pytest.mark.parametrize("limits", [{}, {"cost": "$1000"}, {"tokens": "1M/day"}], ids=["free", "cost", "tokens"])
async def test_the_cap_of_a_user(opened: Open, limits: dict[str, Any], asked: int, sent: int, told: str | None) -> None:
    place = await opened(world({"max_tokens": 100, "limits": limits}))
    assert (await place.chat(max_tokens=asked)).header(TOLD) == told
    assert (await place.chat(max_tokens=None)).header(TOLD) == "100"
    first, second = await place.arrived(2)
    assert (first["max_tokens"], second["max_tokens"]) == (sent, 100)


async def test_more_choices_cost_more(opened: Open) -> None:
    place = await opened(world({}))
    one = await place.worst_case("rich", max_tokens=300, n=1)
    three = await place.worst_case("rich", max_tokens=300, n=3)
    assert three - one == 2 * 300 * OUTPUT_PUSD
    await place.configure(anna_with(three - 1))
    answer = await place.chat(max_tokens=300, n=3)
    assert (answer.status, answer.header(TOLD)) == (200, "256")


async def test_a_token_limit_lowers_too(opened: Open) -> None:
    """As with money: at most half of what is left, not below 256, and never above what the model can give."""
    place = await opened(world({"limits": {"tokens": "1M/day"}}))
    assert (await place.chat(max_tokens=None)).header(TOLD) is None
    (sent,) = await place.arrived(1)
    assert sent["max_tokens"] == MODEL_OUTPUT_MAX
    used = (await place.limit(kind="tokens"))["used"]
    prompt = await place.input_tokens(max_tokens=None)

    async def leave(tokens: int) -> None:
        limit = {"tokens": {"amount": used + prompt + tokens, "window": "day"}}
        await place.configure(world({"limits": limit}))

    await leave(4000)
    shown = await place.explain(max_tokens=None)
    assert (shown["max_tokens"], shown["admitted"]) == (2000, True)
    await leave(300)
    shown = await place.explain(max_tokens=None)
    assert (shown["max_tokens"], shown["admitted"]) == (256, True)
    await leave(255)
    assert not (await place.explain(max_tokens=None))["admitted"]
    answer = await place.chat(max_tokens=None)
    assert answer.status == 402
    assert error_of(answer)["message"].startswith(f'{used + prompt + 255} tokens a day for user "anna" are used up')
    await leave(40)
    shown = await place.explain(max_tokens=30)
    assert (shown["admitted"], shown["max_tokens"]) == (True, None)
