"""Faults on a route of several targets: what can still be answered is, once, and all that was billed is booked."""

import asyncio
import gzip
import itertools
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import openai
import pytest
import pytest_asyncio

from tests.faults.chain import PRESET, asked, billed_pusd, chained, hasty, said, with_breaker
from tests.faults.conftest import Open
from tests.faults.place import MESSAGES, Place, clean, place
from tests.faults.raw_upstream import Close, Hang, Heard, Pause, RawUpstream, Reset, Step, Turn
from tests.faults.seen import BOTH, raised
from tests.faults.told import COMMENT, DONE, END, Told, chunk, error, event, head, plain, stream_head
from tests.support.raw import Answer

PAGE = b"<html><body>502 secret-of-the-page</body></html>"
BROKEN_PUSD = 3_000_000  # what the fifth charges for the answer that broke off


def without_comments(body: bytes) -> bytes:
    """Take out comments, and the empty lines before the first event."""
    return b"".join(line for line in body.splitlines(keepends=True) if not line.startswith(b":")).lstrip(b"\r\n")


def five_failures(place: Place, *, stream: bool) -> None:
    """Have five servers fail, each in another way."""
    _, limited, page, inside, broken, _ = place.upstreams
    limited.next(Turn((plain(error(429, "Rate limited"), "Retry-After: 9", status=429),)))
    page.next(Turn((plain(PAGE, status=500, type_="text/html"),)))
    inside.next(Turn((plain(error(502, "Provider returned error")),)))
    told = Told(f"gen-broken-{stream}", BROKEN_PUSD)
    sent = told.stream([COMMENT, told.piece("")]) if stream else told.answer()[:-40]
    broken.next(Turn((sent, Pause(0.02), Reset()), {told.id: BROKEN_PUSD}))


@BOTH
async def test_five_fail_and_the_sixth_answers(opened: Open, stream: bool) -> None:
    """Each in another way; the client sees the sixth answer only, and six rows add up to what the providers billed."""
    place = await opened(upstreams=6, edit=chained)
    await place.upstreams[0].down()
    five_failures(place, stream=stream)
    answer = clean(await place.chat(PRESET, stream=stream))
    good = place.upstreams[5].told[0]
    want = without_comments(b"".join(good.events())) if stream else good.body()
    assert (answer.status, answer.end, without_comments(answer.body)) == (200, "complete", want)
    row = await place.booked(attempts=6)
    assert row["outcomes"] == [
        "upstream_unreachable",
        "upstream_error",
        "upstream_error",
        "upstream_error",
        "upstream_broken",
        "ok",
    ]
    assert [attempt["cost_pusd"] for attempt in place.attempts()] == [0, 0, 0, 0, BROKEN_PUSD, good.charged_pusd]
    assert [attempt["provider"] for attempt in place.attempts()] == [f"p{n}" for n in range(1, 7)]
    assert row["cost_pusd"] == BROKEN_PUSD + good.charged_pusd == await billed_pusd(place)
    assert (row["state"], row["status"], row["error"], row["requested_model"]) == ("settled", 200, None, PRESET)
    assert [len(up.chats()) for up in place.upstreams] == [0, 1, 1, 1, 1, 1]
    await place.upstreams[0].up()
    again = await place.chat(PRESET, stream=stream)
    assert (again.status, again.header("x-tollkeeper-provider")) == (200, "p1")


async def test_the_sdk_sees_one_answer(opened: Open) -> None:
    place = await opened(upstreams=6, edit=chained)
    await place.upstreams[0].down()
    five_failures(place, stream=True)
    async with httpx2.AsyncClient(trust_env=False) as http:
        client = openai.AsyncOpenAI(
            base_url=f"http://127.0.0.1:{place.app.port}/v1", api_key=place.token, max_retries=0, http_client=http
        )
        messages: Any = MESSAGES
        pieces = await client.chat.completions.create(model=PRESET, messages=messages, stream=True, max_tokens=100)
        found = [piece async for piece in pieces]
    assert {piece.id for piece in found} == {place.upstreams[5].told[0].id}
    assert (await place.booked(attempts=6))["state"] == "settled"
    await place.upstreams[0].up()


@BOTH
async def test_all_six_fail(opened: Open, stream: bool) -> None:
    """The client gets the last failure, and the class of exception that it stands for."""
    place = await opened(upstreams=6, edit=chained)
    await place.upstreams[0].down()
    five_failures(place, stream=stream)
    place.upstreams[5].next(Turn((plain(error(429, "Rate limited, the last one"), status=429),)))
    answer = clean(await place.chat(PRESET, stream=stream))
    if stream:  # a comment of the fifth had gone out, and with it the head
        assert answer.status == 200
        last = json.loads(without_comments(answer.body).removeprefix(b"data: "))
    else:
        assert answer.status == 429
        last = answer.json()
    assert "the last one" in last["error"]["message"] or "429" in last["error"]["message"]
    assert b"secret-of-the-page" not in answer.body
    row = await place.booked(attempts=6)
    assert row["cost_pusd"] == BROKEN_PUSD == await billed_pusd(place)
    assert row["status"] == 429
    await place.upstreams[0].up()


async def test_all_six_fail_as_the_sdk_sees_it(opened: Open) -> None:
    place = await opened(upstreams=6, edit=chained)
    await place.upstreams[0].down()
    five_failures(place, stream=False)
    place.upstreams[5].next(Turn((plain(error(503, "No instances available"), status=503),)))
    found = await raised(place, PRESET, stream=False)
    assert type(found) is openai.InternalServerError
    assert found.status_code == 503
    assert "6 attempts failed" in found.message
    assert (await place.booked(attempts=6))["cost_pusd"] == BROKEN_PUSD
    await place.upstreams[0].up()


def fails(what: str, told: Told, *, stream: bool) -> Turn:
    """Give one fault of docs/trust/faults.md that comes before any content."""
    named = f"X-Generation-Id: {told.id}"
    whole = told.stream() + END if stream else told.answer()
    head_bytes = whole.index(b"\r\n\r\n") + 4
    packed = gzip.compress(b"".join(told.events()) if stream else told.body())[:-30]
    kind = "text/event-stream" if stream else "application/json"
    failed, refusal = (
        event(error(code, "no")) if stream else json.dumps(error(code, "no")).encode() for code in (502, 429)
    )
    billed = {told.id: told.charged_pusd}
    turns = {
        "U4 nothing": Turn((Hang(),)),
        "U4 half a head": Turn((whole[:30], Hang())),
        "U5 silence after the head": Turn((whole[:head_bytes], Hang()), billed),
        "U6 RST": Turn((Reset(),)),
        "U6 RST in the head": Turn((whole[:30], Pause(0.01), Reset())),
        "U6 RST after the head": Turn((whole[:head_bytes], Pause(0.01), Reset()), billed),
        "U7 FIN after the head": Turn((whole[:head_bytes], Close()), billed),
        "U9 comments": Turn((stream_head(named) + chunk(COMMENT) * 2 + END,), billed),
        "U9 half an event": Turn((stream_head(named) + chunk(told.content()[0][:-2]) + END,), billed),
        "U11 an error": Turn((head(200, f"Content-Type: {kind}", f"Content-Length: {len(failed)}") + failed,)),
        "U11 a refusal": Turn((head(200, f"Content-Type: {kind}", f"Content-Length: {len(refusal)}") + refusal,)),
        "U14 a page": Turn((plain(PAGE, status=503, type_="text/html"),)),
        "U14 a gateway's page": Turn((plain(PAGE, status=502, type_="text/html"),)),
        "U22 packed and cut off": Turn(
            (
                head(200, f"Content-Type: {kind}", "Content-Encoding: gzip", named, "Connection: close") + packed[:12],
                Close(),
            ),
            billed,
        ),
        "U23 two lengths": Turn((head(200, "Content-Length: 1", "Content-Length: 2") + b"{}", Close())),
        "U23 no head": Turn((b"SSH-2.0-OpenSSH_9.2\r\n", Close())),
        "U24 a redirect": Turn((plain(b"", "Location: http://169.254.169.254/", status=302),)),
        "U25 a page under 200": Turn((plain(PAGE, named, type_="text/html"),), billed),
    }
    if what.isdigit():
        return Turn((plain(error(int(what), "The provider's own words"), status=int(what)),))
    return turns[what]


BEFORE_CONTENT = [
    *("U4 nothing", "U4 half a head", "U5 silence after the head"),
    *("U6 RST", "U6 RST in the head", "U6 RST after the head", "U7 FIN after the head"),
    *("U11 an error", "U11 a refusal", "U14 a page", "U14 a gateway's page"),
    *("401", "402", "404", "408", "413", "429", "500", "503", "529"),
    *("U22 packed and cut off", "U23 two lengths", "U23 no head", "U24 a redirect", "U25 a page under 200"),
]
REFUSED = ["401", "402", "404", "413", "429", "500", "503", "529", "U11 a refusal", "U14 a page", "U24 a redirect"]
IN_STREAMS = ["U9 comments", "U9 half an event"]


@pytest.mark.sampled(0.3)
@pytest.mark.parametrize(
    ("what", "stream"),
    [*[(what, stream) for what in BEFORE_CONTENT for stream in (False, True)], *[(what, True) for what in IN_STREAMS]],
)
async def test_before_content_the_next_target_answers(opened: Open, what: str, stream: bool) -> None:
    """The client sees the second's answer alone; the first is asked once, and booked at what it billed or the most."""
    place = await opened(upstreams=2, edit=hasty)
    told = Told("gen-first", BROKEN_PUSD)
    place.upstream.next(fails(what, told, stream=stream))
    answer = clean(await place.chat(PRESET, stream=stream))
    good = place.upstreams[1].told[0]
    want = without_comments(b"".join(good.events())) if stream else good.body()
    assert (answer.status, answer.end, without_comments(answer.body)) == (200, "complete", want)
    by = ("1", "p1") if what == "U9 comments" else ("2", "p2")  # comments took the head along
    assert (answer.header("x-tollkeeper-attempts"), answer.header("x-tollkeeper-provider")) == by
    row = await place.booked(attempts=2)
    first, second = place.attempts()
    assert (second["cost_pusd"], second["cost_source"], second["outcome"]) == (good.charged_pusd, "provider", "ok")
    if first["generation_id"] == told.id:
        assert (first["cost_pusd"], first["cost_source"]) == (BROKEN_PUSD, "generation")
    elif what in REFUSED:  # not 408, and not what a gateway says that gave up waiting
        assert (first["cost_pusd"], first["cost_source"]) == (0, "none")
    else:
        assert (first["cost_source"], first["cost_pusd"] > BROKEN_PUSD) == ("reservation", True)
    assert (row["state"], row["status"], row["error"]) == ("settled", 200, None)
    assert len(place.upstream.chats()) == 1


@BOTH
@pytest.mark.parametrize("status", [400, 422])
async def test_what_is_the_requests_fault_goes_no_further(opened: Open, stream: bool, status: int) -> None:
    """By the words that say so: no other server would take it either."""
    place = await opened(upstreams=2, edit=chained)
    sent = json.dumps(error(status, "Missing required parameter: 'messages'.")).encode()
    place.upstream.next(Turn((plain(sent, status=status),)))
    answer = clean(await place.chat(PRESET, stream=stream))
    assert (answer.status, answer.body) == (status, sent)
    assert await place.figures() == ("released", 0, "none", None, "upstream_error", status)
    assert not place.upstreams[1].chats()


@BOTH
@pytest.mark.parametrize("status", [400, 422])
async def test_what_may_be_the_servers_fault_goes_on(opened: Open, stream: bool, status: int) -> None:
    """Words that say nothing known prove nothing of the next server; a refusal costs nothing."""
    place = await opened(upstreams=2, edit=chained)
    place.upstream.next(Turn((plain(error(status, "Provider returned error"), status=status),)))
    answer = clean(await place.chat(PRESET, stream=stream))
    assert (answer.status, answer.end, answer.header("x-tollkeeper-provider")) == (200, "complete", "p2")
    row = await place.booked(attempts=2)
    assert row["outcomes"] == ["upstream_error", "ok"]
    assert [attempt["cost_pusd"] for attempt in place.attempts()] == [0, place.upstreams[1].told[0].charged_pusd]


class Shape(NamedTuple):
    """A stream as a server sends it: its bytes, and where within the body what has come makes a difference.

    content_end: the first event with content is complete. bill_end: the JSON with the bill is.
    """

    name: str
    raw: bytes  # head and chunks
    at_body: tuple[int, ...]  # for each length of raw: how many bytes of the body are in it; -1 within the head
    body: bytes
    content_end: int
    bill_end: int


def shape(name: str, told: Told, events: list[bytes], first_content: int, bill: int, cut_bytes: int) -> Shape:
    """Make one of events; chunks end every cut_bytes bytes, wherever that is.

    An event is complete with the CR of the empty line that ends it.
    """
    body = b"".join(events)
    raw = bytearray(stream_head(f"X-Generation-Id: {told.id}"))
    at_body = [-1] * len(raw) + [0]
    for start in range(0, len(body), cut_bytes):
        part = body[start : start + cut_bytes]
        line = f"{len(part):x}\r\n".encode()
        raw += line + part + b"\r\n"
        at_body += [start] * len(line) + [start + n for n in range(1, len(part) + 1)] + [start + len(part)] * 2
    raw += END
    at_body += [len(body)] * len(END)
    assert len(at_body) == len(raw) + 1
    ends = list(itertools.accumulate(len(part) for part in events))
    content_end = ends[first_content] - events[first_content].endswith(b"\r\n")
    return Shape(name, bytes(raw), tuple(at_body), body, content_end, ends[bill] - len(b"\n\n"))


CUT_PUSD = 2_000_000


def plain_words(told: Told) -> Shape:
    events = [COMMENT, COMMENT, told.piece(""), told.piece("Once"), told.finish(), told.bill(), DONE]
    return shape("words", told, events, 3, 5, 150)


def reasoning(told: Told) -> Shape:
    thought = {
        "id": told.id,
        "provider": "OpenAI",
        "model": "openai/o4-mini",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": "", "reasoning": "Hm … 漢"}}],
    }
    events = [COMMENT, event(thought), told.piece("So"), told.finish(), told.bill(), DONE]
    return shape("reasoning", told, events, 1, 4, 61)


def tools(told: Told) -> Shape:
    call = {
        "id": told.id,
        "choices": [
            {
                "index": 0,
                "delta": {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "weather", "arguments": ""}}],
                },
            }
        ],
    }
    events = [event(call).replace(b"\n\n", b"\r\n\r\n"), told.piece(finish="tool_calls"), told.bill(), DONE]
    return shape("tools", told, events, 0, 2, 37)


SHAPES = {"words": plain_words, "reasoning": reasoning, "tools": tools}


@pytest_asyncio.fixture
async def two(tmp_path: Path) -> AsyncIterator[Place]:
    async with place(tmp_path, {"ledger": {"lookup_timeout_s": 30}}, upstreams=2, edit=chained) as found:
        yield found


class Cuts:
    """The first server closes at the byte that the request names; the second answers well."""

    def __init__(self, place: Place, name: str) -> None:
        self.place = place
        self.name = name
        self.length = len(self.shape_of(0).raw)
        place.upstream.choose = self.choose

    def told(self, at: int) -> Told:
        return Told(f"gen-{self.name}-{at:05}", CUT_PUSD + at)

    def shape_of(self, at: int) -> Shape:
        return SHAPES[self.name](self.told(at))

    def choose(self, heard: Heard) -> Turn | None:
        text = said(heard.json())
        if not text.startswith("cut "):
            return None
        at = int(text[4:])
        end: tuple[Step, ...] = (Close(),) if at % 2 else (Pause(0.004), Reset())
        told = self.told(at)
        return Turn((self.shape_of(at).raw[:at], *end), {told.id: told.charged_pusd})

    async def cut(self, at: int) -> None:
        """Make one request and check what the client sees."""
        found = self.shape_of(at)
        answer = await self.place.chat(PRESET, stream=True, messages=[{"role": "user", "content": f"cut {at}"}])
        assert (answer.status, answer.end) == (200, "complete"), (at, answer)
        came = found.body[: max(0, found.at_body[at])]
        if len(came) < found.content_end:
            self.is_the_others(answer.body, at)
        elif len(came) < found.bill_end:
            assert answer.body.startswith(came), (at, answer.body)
            ending = json.loads(answer.body.rpartition(b"data: ")[2])
            assert ending["error"]["code"] == "upstream_broken", (at, answer.body)
            assert answer.body.count(b'"error"') == 1
        else:
            assert answer.body.startswith(found.body[: found.bill_end]), (at, answer.body)
            assert b'"error"' not in answer.body

    def is_the_others(self, body: bytes, at: int) -> None:
        """Check that a body is one whole answer of the second server, and nothing else but comments."""
        events = without_comments(body).split(b"\n\n")
        id_ = json.loads(events[0].removeprefix(b"data: "))["id"]
        told = next(told for told in self.place.upstreams[1].told if told.id == id_)
        assert without_comments(body) == without_comments(b"".join(told.events())), (at, body)

    def check_books(self) -> None:
        """Each attempt at the first server costs what that billed, or the worst case where its id never came."""
        place = self.place
        first, second = (up.charged for up in place.upstreams)
        ours: dict[str, list[dict[str, Any]]] = {}
        for attempt in place.attempts():
            ours.setdefault(attempt["request_id"], []).append(attempt)
        rows = {row["request_id"]: row for row in place.rows()}
        assert len(rows) == self.length
        exact_pusd = 0
        for attempts, row in zip(ours.values(), rows.values(), strict=True):
            assert sum(attempt["cost_pusd"] for attempt in attempts) == row["cost_pusd"]
            assert row["state"] == "settled"
            for attempt in attempts:
                books = first if attempt["provider"] == "p1" else second
                if attempt["generation_id"] is None:
                    assert (attempt["provider"], attempt["cost_source"]) == ("p1", "reservation")
                    assert attempt["cost_pusd"] > CUT_PUSD + self.length
                    continue
                assert attempt["cost_pusd"] == books[attempt["generation_id"]], attempt
                exact_pusd += attempt["cost_pusd"]
        unknown = sum(first[self.told(at).id] for at in range(self.length) if self.shape_of(at).at_body[at] < 0)
        assert exact_pusd + unknown == sum(first.values()) + sum(second.values())


@pytest.mark.sampled(0.3)
@pytest.mark.parametrize("name", SHAPES)
async def test_every_cut(two: Place, name: str) -> None:
    """Before the first content the client gets the other's answer and nothing else; after it an error and no second.

    The ledger holds what both servers billed, cut by cut.
    """
    cuts = Cuts(two, name)
    numbers = iter(range(cuts.length))

    async def work() -> None:
        for at in numbers:
            await cuts.cut(at)

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(work())
    await two.quiet()
    cuts.check_books()
    first_content = next(at for at, n in enumerate(cuts.shape_of(0).at_body) if n >= cuts.shape_of(0).content_end)
    assert len(two.upstreams[1].chats()) == first_content
    assert sorted(asked(two.upstreams[1])) == sorted(f"cut {at}" for at in range(first_content))
    assert (await two.chat(PRESET, stream=True)).header("x-tollkeeper-provider") == "p1"


RATE = 50  # requests a second
FAILURES = 5
COOLDOWN_S, COOLDOWN_MAX_S = 0.4, 0.8
HANG_S = 0.5
RECOVERY_S = 3.0
OUTAGES = {
    "503": Turn((plain(PAGE, status=503, type_="text/html"),)),
    "reset": Turn((Reset(),)),
    "hang": Turn((Hang(),)),
}


class Load:
    """Requests at an even rate, whatever becomes of them."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.answers: list[Answer] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, seconds: float) -> None:
        """Begin all of them and wait for their answers."""
        start_s = time.monotonic()
        for n in range(int(seconds * RATE)):
            await asyncio.sleep(max(0.0, start_s + n / RATE - time.monotonic()))
            task = asyncio.create_task(self._one(n))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await asyncio.gather(*list(self._tasks))

    async def _one(self, n: int) -> None:
        words = [{"role": "user", "content": f"Tell me story {n}."}]  # a breaker hears the same request once only
        self.answers.append(await self.place.chat(PRESET, stream=n % 2 == 1, messages=words))


class Flaky:
    """A server that fails until it is mended; knows when it was asked."""

    def __init__(self, up: RawUpstream, turn: Turn) -> None:
        self._turn: Turn | None = turn
        self.asked_s: list[float] = []
        up.choose = self._choose

    def _choose(self, _: Heard) -> Turn | None:
        self.asked_s.append(time.monotonic())
        return self._turn

    def mend(self) -> None:
        self._turn = None


@pytest.mark.sampled(0.5)
@pytest.mark.parametrize(
    ("kind", "outage_s"),
    [("503", 4.0), ("reset", 4.0), ("hang", 4.0), pytest.param("503", 60.0, marks=pytest.mark.slow)],
)
async def test_an_outage(opened: Open, kind: str, outage_s: float) -> None:
    """While the breaker is open the server that fails gets probes only; after one that succeeds it is used again.

    Every request is answered, by the other server meanwhile.
    """
    rules = {"failures": FAILURES, "cooldown_s": COOLDOWN_S, "cooldown_max_s": COOLDOWN_MAX_S, "probes": 1}
    place = await opened(upstreams=2, edit=with_breaker(HANG_S if kind == "hang" else 10, **rules))
    flaky = Flaky(place.upstream, OUTAGES[kind])
    load = Load(place)
    running = asyncio.create_task(load.run(outage_s + RECOVERY_S))
    await asyncio.sleep(outage_s)
    flaky.mend()
    failed = len(flaky.asked_s)
    await running
    assert [answer.status for answer in load.answers] == [200] * int((outage_s + RECOVERY_S) * RATE)
    # those that were sent before the breaker had heard of five failures, and then one a cool-down
    unheard = FAILURES + int((HANG_S if kind == "hang" else 0.1) * RATE) + 1
    probes_s = flaky.asked_s[unheard:failed]
    assert FAILURES < failed <= unheard + outage_s / COOLDOWN_S
    assert all(later - sooner >= COOLDOWN_S for sooner, later in itertools.pairwise(probes_s))
    # mended, it is asked within one cool-down, and from then on by everybody
    assert len(flaky.asked_s) - failed >= (RECOVERY_S - 2 * COOLDOWN_MAX_S - HANG_S) * RATE
    await place.quiet()
    assert len(place.rows()) == len(load.answers)
    assert all(row["state"] == "settled" for row in place.rows())
    if kind == "503":  # the others may be billed for what nobody knows the id of
        assert sum(row["cost_pusd"] for row in place.rows()) == await billed_pusd(place)
