"""U4 and U5: the provider goes silent. What it may have charged stays in force until somebody knows."""

import pytest

from tests.faults.conftest import Open
from tests.faults.place import clean, short
from tests.faults.raw_upstream import GENERATION, Hang, Pause, Turn
from tests.faults.seen import BOTH, KINDS, guessed, last_event, limit
from tests.faults.told import COMMENT, END, Told, chunk, head, plain

SHORT_S = 0.5


@BOTH
@KINDS
async def test_u4_no_answer_begins(opened: Open, provider: str, stream: bool) -> None:
    """504 after the header time-out; the request is not sent again, for it may be billed."""
    place = await opened(short(header=SHORT_S))
    place.upstream.next(Turn((Hang(),)))
    answer = clean(await place.chat(provider, stream=stream))
    assert (answer.status, answer.json()["error"]["code"]) == (504, "upstream_timeout")
    row = await place.booked()
    assert await place.figures() == (*guessed(row, provider), "upstream_timeout", 504)
    assert row["reserved_pusd"] > 0
    assert len(place.upstream.chats()) == 1
    await place.works(provider)


@BOTH
async def test_u4_half_a_head(opened: Open, stream: bool) -> None:
    place = await opened(short(header=SHORT_S))
    place.upstream.next(Turn((head(200, "Content-Type: application/json")[:-2], Hang())))
    answer = clean(await place.chat(stream=stream))
    assert (answer.status, answer.json()["error"]["code"]) == (504, "upstream_timeout")
    row = await place.booked()
    assert await place.figures() == (*guessed(row, "openrouter"), "upstream_timeout", 504)
    await place.works()


@pytest.mark.parametrize("events", [0, 1, 3, 5])
async def test_u5_silence_in_a_stream(opened: Open, events: int) -> None:
    """What came is the client's; then an error event ends the stream. The cost is looked up."""
    place = await opened(short(idle=SHORT_S))
    told = Told("gen-silent", 77_000_000)
    place.upstream.next(Turn((told.stream(told.events()[:events]), Hang()), {told.id: 77_000_000}))
    answer = clean(await place.chat(stream=True))
    assert answer.status == 200
    assert last_event(answer)["code"] == "upstream_timeout"
    came = b"".join(told.events()[:events])
    assert answer.body.startswith(came)
    assert answer.body.count(b"data: ") == came.count(b"data: ") + 1
    flags = "answer_broken"
    assert await place.figures() == ("settled", 77_000_000, "generation", flags, "upstream_timeout", 200)
    await place.works()


async def test_u5_silence_in_a_stream_of_a_provider_without_records(opened: Open) -> None:
    place = await opened(short(idle=SHORT_S))
    told = Told("chatcmpl-1", 1, cost=None)
    place.upstream.next(Turn((told.stream(told.events()[:3]), Hang())))
    answer = clean(await place.chat("plain", stream=True))
    assert last_event(answer)["code"] == "upstream_timeout"
    row = await place.booked()
    want = ("settled", row["reserved_pusd"], "estimate", "answer_broken usage_missing", "upstream_timeout", 200)
    assert await place.figures() == want
    await place.works("plain")


@pytest.mark.parametrize("padded", [False, True])
async def test_u5_silence_in_an_answer(opened: Open, padded: bool) -> None:
    """No part of it is passed off as the whole. Padding that has gone already is followed by the error."""
    place = await opened(short(idle=SHORT_S))
    told = Told("gen-silent", 5_000_000)
    body = (b" \n \n" if padded else b"") + told.body()
    half = plain(body, f"X-Generation-Id: {told.id}")[: -len(told.body()) // 2]
    place.upstream.next(Turn((half, Hang()), {told.id: 5_000_000}))
    answer = clean(await place.chat())
    assert (answer.status, answer.end) == (200 if padded else 504, "complete")
    assert answer.json()["error"]["code"] == "upstream_timeout"
    assert b"Once" not in answer.body
    figures = await place.figures()
    assert figures[:5] == ("settled", 5_000_000, "generation", "answer_broken", "upstream_timeout")
    await place.works()


async def test_u5_comments_are_life(opened: Open) -> None:
    """A comment now and then keeps the answer open for longer than the idle time-out."""
    place = await opened(short(idle=SHORT_S))
    told = Told("gen-slow", 6_000_000)
    comments = [step for _ in range(4) for step in (chunk(COMMENT), Pause(SHORT_S * 0.5))]
    steps = (told.stream([]), *comments, *[chunk(part) for part in told.events()], END)
    place.upstream.next(Turn(steps, {told.id: 6_000_000}))
    answer = await place.chat(stream=True)
    assert answer.body == COMMENT * 4 + b"".join(told.events())
    assert await place.figures() == ("settled", 6_000_000, "provider", None, None, 200)
    await place.works()


async def test_u5_comments_do_not_last_for_ever(opened: Open) -> None:
    """The total time-out ends a stream that brings comments and nothing else."""
    place = await opened(short(idle=SHORT_S, total=SHORT_S * 3))
    told = Told("gen-slow", 6_000_000)
    count = 200
    comments = [step for _ in range(count) for step in (chunk(COMMENT), Pause(SHORT_S / 10))]
    place.upstream.next(Turn((told.stream([]), *comments), {told.id: 6_000_000}))
    answer = clean(await place.chat(stream=True))
    assert last_event(answer)["code"] == "upstream_timeout"
    assert 0 < answer.body.count(COMMENT) < count
    assert await place.figures() == (
        "settled",
        6_000_000,
        "generation",
        "answer_broken",
        "upstream_timeout",
        200,
    )
    await place.works()


async def test_u5_nobody_asks_twice_for_it(opened: Open) -> None:
    """While the figure is awaited the reservation stays in force."""
    place = await opened({**short(idle=SHORT_S), "ledger": {"lookup_timeout_s": 30}})
    told = Told("gen-late", 9_000_000)
    place.upstream.next(Turn((told.stream(told.events()[:3]), Hang()), {told.id: 9_000_000}))
    unknown = plain({"error": {"code": 404, "message": "not found"}}, status=404)
    place.upstream.next(*[Turn((unknown,))] * 2, path=GENERATION)
    await place.chat(stream=True)
    (row,) = place.rows()
    assert (row["state"], row["cost_pusd"]) == ("pending", None)
    assert (await limit(place))["reserved_pusd"] == row["reserved_pusd"] > 0
    assert (await place.figures())[:3] == ("settled", 9_000_000, "generation")
    assert (await limit(place))["reserved_pusd"] == 0
    assert len(place.upstream.chats()) == 1
    await place.works()
