"""U6 to U9: the connection breaks. Nothing partial is passed off as whole, and nothing that may be billed is free."""

import pytest

from tests.faults.conftest import Open
from tests.faults.place import clean
from tests.faults.raw_upstream import Close, Hang, Pause, Reset, Step, Turn
from tests.faults.seen import BOTH, KINDS, guessed, last_event, refused
from tests.faults.told import COMMENT, END, Told, chunk, event, head, plain, stream_head

ENDS = pytest.mark.parametrize("end", [Reset(), Close()], ids=["RST", "FIN"])
COST_PUSD = 4_000_000


@pytest.mark.sampled(0.4)
@BOTH
@KINDS
@ENDS
@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Ty"], ids=["nothing", "half a head"])
async def test_u6_before_the_head_is_complete(
    opened: Open, provider: str, stream: bool, end: Step, sent: bytes
) -> None:
    """The request was read, so it may be billed: it is not sent again, and the worst case is charged."""
    place = await opened()
    await place.works(provider)
    before = len(place.upstream.chats())
    place.upstream.next(Turn((sent, end) if sent else (end,)))
    refused(await place.chat(provider, stream=stream), 502, "upstream_broken")
    row = await place.booked()
    assert await place.figures() == (*guessed(row, provider), "upstream_broken", 502)
    assert len(place.upstream.chats()) == before + 1
    await place.works(provider)


async def test_u6_reset_in_the_middle_of_an_answer(opened: Open) -> None:
    place = await opened()
    told = Told("gen-reset", COST_PUSD)
    place.upstream.next(Turn((told.answer()[:-20], Pause(0.05), Reset()), {told.id: COST_PUSD}))
    refused(await place.chat(), 502, "upstream_broken")
    assert await place.figures() == ("settled", COST_PUSD, "generation", "answer_broken", "upstream_broken", 502)
    await place.works()


@pytest.mark.parametrize("events", [0, 1, 2, 4])
async def test_u6_reset_in_the_middle_of_a_stream(opened: Open, events: int) -> None:
    place = await opened()
    told = Told("gen-reset", COST_PUSD)
    came = told.events()[:events]
    place.upstream.next(Turn((told.stream(came), Pause(0.05), Reset()), {told.id: COST_PUSD}))
    answer = clean(await place.chat(stream=True))
    assert answer.body.startswith(b"".join(came))
    assert last_event(answer)["code"] == "upstream_broken"
    assert await place.figures() == ("settled", COST_PUSD, "generation", "answer_broken", "upstream_broken", 200)
    await place.works()


@KINDS
@pytest.mark.parametrize("framing", ["length", "chunks", "half a chunk", "padding"])
async def test_u7_json_that_ends_early(opened: Open, provider: str, framing: str) -> None:
    place = await opened()
    told = Told("gen-short", COST_PUSD)
    body = told.body()
    cut = len(body) // 2
    named = f"X-Generation-Id: {told.id}"
    sent = {
        "length": plain(body, named)[: cut - len(body)],
        "chunks": stream_head(named, type_="application/json") + chunk(body[:cut]),
        "half a chunk": stream_head(named, type_="application/json") + chunk(body)[:cut],
        "padding": stream_head(named, type_="application/json") + chunk(b"   ") + chunk(body[:cut]),
    }[framing]
    place.upstream.next(Turn((sent, Pause(0.02), Close()), {told.id: COST_PUSD}))
    answer = clean(await place.chat(provider))
    assert (answer.status, answer.end) == (200 if framing == "padding" else 502, "complete")
    assert answer.json()["error"]["code"] == "upstream_broken"
    assert b"Once" not in answer.body
    row = await place.booked()
    if provider == "openrouter":
        assert (row["cost_pusd"], row["cost_source"], row["flags"]) == (COST_PUSD, "generation", "answer_broken")
    else:
        assert (row["cost_pusd"], row["cost_source"]) == (row["reserved_pusd"], "estimate")
    assert row["error"] == "upstream_broken"
    await place.works(provider)


@KINDS
@pytest.mark.parametrize("part", [0.1, 0.5, 0.98])
async def test_u7_json_without_a_length_that_ends_early(opened: Open, provider: str, part: float) -> None:
    """Nothing but the JSON itself tells that it is not whole."""
    place = await opened()
    told = Told("gen-short", COST_PUSD)
    body = told.body()
    named = head(200, "Content-Type: application/json", f"X-Generation-Id: {told.id}", "Connection: close")
    place.upstream.next(Turn((named + body[: int(len(body) * part)], Close()), {told.id: COST_PUSD}))
    refused(await place.chat(provider), 502, "upstream_broken")
    row = await place.booked()
    if provider == "openrouter":
        assert (row["cost_pusd"], row["cost_source"], row["flags"]) == (COST_PUSD, "generation", "answer_broken")
    else:
        assert (row["cost_pusd"], row["cost_source"]) == (row["reserved_pusd"], "estimate")
    await place.works(provider)


def _sized(body: bytes, length: int, ends: Step) -> tuple[Step, ...]:
    named = head(200, "Content-Type: application/json", f"Content-Length: {length}")
    return (named + body, Pause(0.02), ends)


ENDED_EARLY = "the JSON of its answer ended early"
FOLLOWED = "something follows the JSON of its answer"


@pytest.mark.sampled(0.4)
@BOTH
@KINDS
@pytest.mark.parametrize(
    "flaw", ["longer", "longer, reset", "within", "half", "shorter", "followed", "chunks", "connection", "padding"]
)
async def test_u7_the_id_in_the_json_is_enough(opened: Open, provider: str, stream: bool, flaw: str) -> None:
    """What came names the generation, and no header does: it is looked up all the same. JSON for a stream, too."""
    place = await opened()
    told = Told("gen-inside", COST_PUSD)
    body = told.body()
    size = len(body)
    as_chunks = stream_head(type_="application/json")
    as_it_comes = head(200, "Content-Type: application/json", "Connection: close")
    steps, why = {
        "longer": (_sized(body, size + 10, Close()), ""),
        "longer, reset": (_sized(body, size + 10, Reset()), ""),
        "within": (_sized(body[:-20], size, Close()), ""),
        "half": (_sized(body[: size // 2], size, Reset()), ""),
        "shorter": (_sized(body, size - 10, Close()), ENDED_EARLY),
        "followed": ((plain(body + b"xx"),), FOLLOWED),
        "chunks": ((as_chunks + chunk(body[:40]) + chunk(body[40:-20]), Close()), ""),
        "connection": ((as_it_comes + body[:-20], Close()), ENDED_EARLY),
        "padding": ((as_chunks + chunk(b"  ") + chunk(body[:-20]), Close()), ""),
    }[flaw]
    place.upstream.next(Turn(steps, {told.id: COST_PUSD}))
    answer = clean(await place.chat(provider, stream=stream))
    assert b'"upstream_broken"' in answer.body
    assert why in answer.body.decode()
    assert b"Once" not in answer.body
    row = await place.booked()
    assert row["generation_id"] == told.id
    if provider == "openrouter":
        assert (row["cost_pusd"], row["cost_source"], row["flags"]) == (COST_PUSD, "generation", "answer_broken")
    else:
        assert (row["cost_pusd"], row["cost_source"]) == (row["reserved_pusd"], "estimate")
    await place.works(provider)


async def test_u7_json_that_is_too_deep_to_be_read(opened: Open) -> None:
    """It is passed on as it came, and looked up by what can be read of it."""
    place = await opened()
    told = Told("gen-deep", COST_PUSD)
    body = told.body(annotations="DEEP").replace(b'"DEEP"', b"[" * 100_000 + b"]" * 100_000)
    place.upstream.next(Turn((plain(body),), {told.id: COST_PUSD}))
    answer = clean(await place.chat())
    assert (answer.status, answer.body) == (200, body)
    assert (await place.figures())[:3] == ("settled", COST_PUSD, "generation")
    await place.works()


async def test_u7_an_id_that_did_not_come_whole_is_none(opened: Open) -> None:
    """A part of it could be another generation's."""
    place = await opened()
    told = Told("gen-inside", COST_PUSD)
    steps = _sized(b'{"id": "gen-insi', len(told.body()), Close())
    place.upstream.next(Turn(steps, {told.id: COST_PUSD, "gen-insi": 7}))
    refused(await place.chat(), 502, "upstream_broken")
    row = await place.booked()
    assert row["generation_id"] is None
    state, cost_pusd, source, flags = guessed(row, "openrouter")
    told_so = ("upstream_broken", 502)
    assert await place.figures() == (state, cost_pusd, source, f"answer_broken {flags}", *told_so)
    await place.works()


async def test_u7_json_without_a_length_that_is_whole(opened: Open) -> None:
    """The other side of it: an answer that ends with its connection is an answer."""
    place = await opened()
    told = Told("gen-whole", COST_PUSD)
    named = head(200, "Content-Type: application/json", "Connection: close")
    place.upstream.next(Turn((named + told.body(), Close()), {told.id: COST_PUSD}))
    answer = await place.chat()
    assert (answer.status, answer.body) == (200, told.body())
    assert await place.figures() == ("settled", COST_PUSD, "provider", None, None, 200)
    await place.works()


@pytest.mark.parametrize("ending", ["last chunk", "FIN", "RST", "end of the connection"])
async def test_u8_no_done_but_the_bill_is_there(opened: Open, ending: str) -> None:
    """The stream says what it cost and that it has finished: it is whole."""
    place = await opened()
    told = Told("gen-done", COST_PUSD)
    events = told.events()[:-1]
    steps: tuple[Step, ...] = {
        "last chunk": (told.stream(events) + END,),
        "FIN": (told.stream(events), Close()),
        "RST": (told.stream(events), Pause(0.05), Reset()),
        "end of the connection": (
            head(200, "Content-Type: text/event-stream", "Connection: close") + b"".join(events),
            Close(),
        ),
    }[ending]
    place.upstream.next(Turn(steps, {told.id: COST_PUSD}))
    answer = clean(await place.chat(stream=True))
    assert (answer.status, answer.end, answer.body) == (200, "complete", b"".join(events))
    assert await place.figures() == ("settled", COST_PUSD, "provider", None, None, 200)
    await place.works()


async def test_u8_a_bill_without_a_cost_at_a_provider_that_reports_none(opened: Open) -> None:
    place = await opened()
    told = Told("chatcmpl-1", 1, cost=None)
    place.upstream.next(Turn((told.stream(told.events()[:-1]), Close())))
    answer = clean(await place.chat("plain", stream=True, stream_options={"include_usage": True}))
    assert answer.body == b"".join(told.events()[:-1])
    assert (await place.figures())[2:] == ("price", None, None, 200)
    await place.works("plain")


FINISHED = ["last chunk", "length", "end of the connection"]


@KINDS
@pytest.mark.parametrize("ending", FINISHED)
async def test_u8_finished_and_neither_bill_nor_done(opened: Open, provider: str, ending: str) -> None:
    """A body that ended as it should, after a finish reason, is whole; only its cost is not known. Nobody is blamed."""
    calm = {"breaker": {"failures": 2, "min_attempts": 2}}
    place = await opened({"providers": {"openrouter": calm, "plain": calm}})
    for n in range(4):
        told = Told(f"gen-{ending.replace(' ', '')}-{n}", COST_PUSD)
        events = told.events()[:-2]
        whole = b"".join(events)
        steps: tuple[Step, ...] = {
            "last chunk": (told.stream(events) + END,),
            "length": (plain(whole, f"X-Generation-Id: {told.id}", type_="text/event-stream"),),
            "end of the connection": (
                head(200, "Content-Type: text/event-stream", "Connection: close", f"X-Generation-Id: {told.id}")
                + whole,
                Close(),
            ),
        }[ending]
        place.upstream.next(Turn(steps, {told.id: COST_PUSD}))
        answer = clean(await place.chat(provider, stream=True))
        assert (answer.status, answer.end, answer.body) == (200, "complete", whole)
        row = await place.booked()
        looked_up = ("settled", COST_PUSD, "generation", None)
        expected = looked_up if provider == "openrouter" else guessed(row, provider)
        assert await place.figures() == (*expected, None, 200)
    await place.works(provider)


async def test_u8_each_choice_must_have_finished(opened: Open) -> None:
    """Of two answers in one stream one has ended: that is not all of it."""
    place = await opened()
    told, again = Told("gen-two", COST_PUSD), Told("gen-two-2", COST_PUSD)

    def choice(index: int, content: str, finish: str | None = None) -> bytes:
        delta = {"index": index, "delta": {"content": content}, "finish_reason": finish}
        return event({"model": "m", "choices": [delta]})

    events = [choice(0, "a"), choice(1, "b"), choice(0, "", "stop"), choice(1, "c")]
    place.upstream.next(Turn((told.stream(events) + END,), {told.id: COST_PUSD}))
    answer = clean(await place.chat(stream=True, n=2))
    assert last_event(answer)["code"] == "upstream_broken"
    events.append(choice(1, "", "length"))
    place.upstream.next(Turn((again.stream(events) + END,), {again.id: COST_PUSD}))
    answer = clean(await place.chat(stream=True, n=2))
    assert answer.body == b"".join(events)
    await place.works()


@pytest.mark.sampled(0.4)
@KINDS
@pytest.mark.parametrize(
    ("events", "ending"),
    [*((n, end) for n in (1, 3, 6) for end in ("FIN", "RST", "half an event")), (1, "last chunk"), (3, "last chunk")],
)
async def test_u9_neither_bill_nor_done(opened: Open, provider: str, events: int, ending: str) -> None:
    """An error event says that the answer is not whole, and what it cost is asked for."""
    place = await opened()
    told = Told("gen-cut", COST_PUSD)
    came = told.events()[:events]
    half = told.events()[events][:30] if ending == "half an event" else b""
    sent = told.stream([*came, half] if half else came)
    ends: dict[str, tuple[Step, ...]] = {"last chunk": (END,), "RST": (Pause(0.05), Reset())}
    end = ends.get(ending, (Close(),))
    place.upstream.next(Turn((sent, *end), {told.id: COST_PUSD}))
    answer = clean(await place.chat(provider, stream=True))
    assert last_event(answer)["code"] == "upstream_broken"
    assert answer.body.startswith(b"".join(came))
    row = await place.booked()
    if provider == "openrouter":
        want = ("settled", COST_PUSD, "generation", "answer_broken", "upstream_broken", 200)
        assert await place.figures() == want
    else:
        assert (row["cost_pusd"], row["cost_source"]) == (row["reserved_pusd"], "estimate")
    await place.works(provider)


async def test_u9_nothing_but_comments(opened: Open) -> None:
    place = await opened()
    place.upstream.next(Turn((stream_head() + chunk(COMMENT) * 3 + END,)))
    answer = clean(await place.chat(stream=True))
    assert last_event(answer)["code"] == "upstream_broken"
    row = await place.booked()
    assert (row["cost_pusd"], row["cost_source"]) == (row["reserved_pusd"], "reservation")
    await place.works()


async def test_u9_done_but_no_bill(opened: Open) -> None:
    """To the client the stream is whole; its cost is asked for."""
    place = await opened()
    told = Told("gen-unbilled", COST_PUSD)
    events = [part for part in told.events() if b"usage" not in part]
    place.upstream.next(Turn((told.stream(events) + END,), {told.id: COST_PUSD}))
    answer = clean(await place.chat(stream=True))
    assert answer.body == b"".join(events)
    assert await place.figures() == ("settled", COST_PUSD, "generation", None, None, 200)
    await place.works()


async def test_u9_done_and_then_silence(opened: Open) -> None:
    """The provider keeps the connection open after [DONE]: the client is not kept waiting for it."""
    place = await opened()
    told = Told("gen-open", COST_PUSD)
    place.upstream.next(Turn((told.stream(), Hang()), {told.id: COST_PUSD}))
    answer = clean(await place.chat(stream=True))
    assert answer.body == b"".join(told.events())
    assert await place.figures() == ("settled", COST_PUSD, "provider", None, None, 200)
    await place.works()
