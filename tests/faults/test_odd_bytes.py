"""U15 to U19: slow, huge, cut anywhere, strange. What the client gets is what came, and the bill is found in it."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.faults.conftest import Open
from tests.faults.place import Place, clean, place, short
from tests.faults.raw_upstream import Close, Drip, Pause, Step, Turn
from tests.faults.seen import Memory, last_event
from tests.faults.told import COMMENT, DONE, END, Told, chunk, event, head, plain, stream_head

COST_PUSD = 4_000_000
EXACT = ("settled", COST_PUSD, "provider", None, None, 200)


async def exactly(place: Place, told: Told, sent: bytes, want: bytes, *, stream: bool = True) -> None:
    """Have bytes sent; what is wanted comes to the client, and the cost is what is told in it."""
    place.upstream.next(Turn((sent,), {told.id: COST_PUSD}))
    answer = clean(await place.chat(stream=stream))
    assert (answer.status, answer.end) == (200, "complete")
    assert answer.body == want
    assert await place.figures() == EXACT


async def test_u15_byte_after_byte(opened: Open) -> None:
    """Slower than anything, but never silent for as long as the idle time-out."""
    place = await opened(short(idle=0.5))
    told = Told("gen-slow", COST_PUSD)
    body = told.body()
    sent = told.stream() + END
    place.upstream.next(Turn((sent[:-80], Drip(sent[-80:], 0.01)), {told.id: COST_PUSD}))
    answer = await place.chat(stream=True)
    assert answer.body == b"".join(told.events())
    assert await place.figures() == EXACT
    other = Told("gen-slower", COST_PUSD)
    whole = other.answer()
    place.upstream.next(Turn((whole[:-80], Drip(whole[-80:], 0.01)), {other.id: COST_PUSD}))
    answer = await place.chat()
    assert answer.body == other.body() != body
    assert await place.figures() == EXACT
    await place.works()


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_u15_byte_after_byte_for_ever(opened: Open, stream: bool) -> None:
    place = await opened(short(idle=0.5, total=1.0))
    told = Told("gen-slow", COST_PUSD)
    sent = told.stream() if stream else told.answer()
    place.upstream.next(Turn((sent[:-80], Drip(sent[-80:], 0.05)), {told.id: COST_PUSD}))
    answer = clean(await place.chat(stream=stream))
    found = last_event(answer) if stream else answer.json()["error"]
    assert (answer.status, found["code"]) == (200 if stream else 504, "upstream_timeout")
    assert (await place.figures())[:3] == ("settled", COST_PUSD, "generation")
    await place.works()


async def digest(place: Place) -> tuple[str, int]:
    """Make a streamed request and give the SHA-256 and the length of its body, keeping nothing of it."""
    client = await place.begin_chat(stream=True)
    whole, size = hashlib.sha256(), 0
    buffer = await client.read_until(b"\r\n\r\n")
    buffer = buffer.partition(b"\r\n\r\n")[2]
    while True:
        while b"\r\n" not in buffer:
            buffer += await client.read_some()
        line, _, buffer = buffer.partition(b"\r\n")
        left = int(line, 16)
        if left == 0:
            return whole.hexdigest(), size
        size += left
        left += 2
        while left:
            if not buffer:
                buffer = await client.read_some()
            part, buffer = buffer[:left], buffer[left:]
            left -= len(part)
            whole.update(part if left >= 2 else part[: len(part) - (2 - left)] if len(part) > 2 - left else b"")


MIB = 1 << 20


async def test_u16_one_event_of_50_megabytes(opened: Open) -> None:
    """It passes in bounded memory; what is too large to be read is no reason to lose it or the bill behind it."""
    place = await opened()
    await place.works()
    told = Told("gen-huge", COST_PUSD, output_tokens=50 * MIB // 8)
    start, end = b'data: {"choices": [{"delta": {"content": "', b'"}}]}\n\n'
    block = chunk(b"x" * MIB)
    steps = (
        stream_head(f"X-Generation-Id: {told.id}") + chunk(start),
        *[block] * 50,
        chunk(end) + b"".join(chunk(part) for part in told.events()) + END,
    )
    place.upstream.next(Turn(steps, {told.id: COST_PUSD}))
    memory = Memory()
    found, size = await digest(place)
    grown_bytes = memory.grown_bytes()
    want = start + b"x" * (50 * MIB) + end + b"".join(told.events())
    assert (size, found) == (len(want), hashlib.sha256(want).hexdigest())
    assert await place.figures() == EXACT
    assert grown_bytes < 48 * MIB, grown_bytes  # of it 16 MiB are kept, in the worst case three times at once
    await place.works()


async def test_u16_very_many_tiny_chunks(opened: Open) -> None:
    """A chunk for each byte, hundreds of thousands of them: nothing grows with their number."""
    place = await opened()
    await place.works()
    told = Told("gen-tiny", COST_PUSD)
    count = 300_000
    comment = b": " + b"y" * (count - 4) + b"\n\n"
    tiny = b"".join(b"1\r\n%c\r\n" % byte for byte in comment)
    place.upstream.next(Turn((told.stream([]), tiny, *[chunk(p) for p in told.events()], END), {told.id: COST_PUSD}))
    memory = Memory()
    found, size = await digest(place)
    assert memory.grown_bytes() < 32 * MIB
    want = comment + b"".join(told.events())
    assert (size, found) == (len(want), hashlib.sha256(want).hexdigest())
    assert await place.figures() == EXACT
    await place.works()


@pytest.mark.parametrize("named", ["in the head", "in the JSON"])
async def test_u16_an_answer_of_more_than_64_megabytes(opened: Open, named: str) -> None:
    """What is held back until its cost is known has an end."""
    place = await opened()
    told = Told("gen-endless", COST_PUSD)
    block = chunk(b"x" * MIB)
    lines = [f"X-Generation-Id: {told.id}"] if named == "in the head" else []
    begin = b'{"a": "' if lines else b'{"id": "gen-endless", "a": "'
    steps = (stream_head(*lines, type_="application/json") + chunk(begin), *[block] * 66)
    place.upstream.next(Turn(steps, {told.id: COST_PUSD}))
    answer = clean(await place.chat())
    assert (answer.status, answer.json()["error"]["code"]) == (502, "upstream_broken")
    assert (await place.figures())[:3] == ("settled", COST_PUSD, "generation")
    await place.works()


@pytest_asyncio.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Place]:
    async with place(tmp_path) as found:
        yield found


async def all_of(count: int, one: Callable[[int], object], at_once: int = 8) -> None:
    """Run one(0) to one(count - 1), some at a time; the first that fails ends it."""
    numbers: Iterator[int] = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await one(number)  # type: ignore[misc]

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())


SHORT_STREAM = ("é", " … 漢", " 😀")


def small(told: Told, end: str) -> bytes:
    """Give a small stream with characters of 2, 3 and 4 bytes, its lines ended as wanted."""
    events = b"".join([*[told.piece(word) for word in SHORT_STREAM[:1]], told.piece(finish="stop"), told.bill(), DONE])
    return events.replace(b"\n", end.encode())


@pytest.mark.sampled(0.3)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
async def test_u17_cut_in_two_anywhere(shared: Place, end: str) -> None:
    """Two pieces with a pause between them, for every place to cut: inside a character, a name, a line end."""
    length = len(small(Told(f"gen-{0:06}", COST_PUSD), end))
    base = {"\n": 0, "\r\n": 10_000, "\r": 20_000}[end]

    async def cut(at: int) -> None:
        told = Told(f"gen-{base + at:06}", COST_PUSD)
        whole = small(told, end)
        first = told.stream([whole[:at]]) if at else told.stream([])
        last = chunk(whole[at:]) + END
        shared.upstream.next(Turn((first, Pause(0.003), last), {told.id: COST_PUSD}))
        answer = await shared.chat(stream=True)
        taken = answer.header("x-generation-id")
        assert taken is not None  # requests at once may take each other's turns
        assert (answer.end, answer.body) == ("complete", small(Told(taken, COST_PUSD), end))

    await all_of(length, cut)
    await shared.quiet()
    rows = shared.rows()
    assert len(rows) == length
    assert {(row["state"], row["cost_pusd"], row["cost_source"], row["flags"], row["error"]) for row in rows} == {
        ("settled", COST_PUSD, "provider", None, None)
    }
    await shared.works()


@pytest.mark.parametrize("provider", ["openrouter", "plain"])
async def test_u17_one_byte_a_chunk(opened: Open, provider: str) -> None:
    place = await opened()
    told = Told("gen-bytes", COST_PUSD, cost=None if provider == "plain" else "")
    whole = b"".join(told.events())
    steps: list[Step] = [told.stream([])]
    for at in range(len(whole)):
        steps.append(chunk(whole[at : at + 1]))
        if at % 7 == 0 or whole[at] > 0x7F:  # each piece of a letter comes in a read of its own
            steps.append(Pause(0 if whole[at] <= 0x7F else 0.005))
    place.upstream.next(Turn((*steps, END), {told.id: COST_PUSD}))
    answer = await place.chat(provider, stream=True, stream_options={"include_usage": True})
    assert answer.body == whole
    row = await place.booked()
    assert (row["state"], row["cost_source"], row["flags"]) == (
        "settled",
        "price" if provider == "plain" else "provider",
        None,
    )
    await place.works(provider)


def strange(told: Told, case: str) -> bytes:
    """Give a stream with something odd in it. The bill is in it, as it should be."""
    words, rest = b"".join(told.content()), told.finish() + told.bill() + DONE
    return {
        "broken UTF-8": words + b'data: {"choices":[{"delta":{"content":"\xff\xfe\xc3("}}]}\n\n' + rest,
        "NUL": words + b"\x00\x00: \x00\n\n" + rest,
        "byte order mark": b"\xef\xbb\xbf" + words + rest,
        "CR": (words + rest).replace(b"\n", b"\r"),
        "CRLF": (words + rest).replace(b"\n", b"\r\n"),
        "comments": b":\n\n: a\n:b\n\n" + words + COMMENT * 5 + rest,
        "event and id": b"event: message\nid: 1\nretry: 5\n" + words + b"event: done\nid: 2\n" + rest,
        "data in lines": words
        + told.finish()
        + told.bill().replace(b', "usage"', b',\ndata: "usage"').replace(b", ", b",\ndata:")
        + DONE,
        "no blank": words.replace(b"data: ", b"data:") + rest.replace(b"data: ", b"data:"),
        "unknown fields": b"x: y\nfoo\n\n" + words + b"data\n\n\n\n\n\n" + rest,
        "half a surrogate": words + b'data: {"choices":[{"delta":{"content":"\\ud800"}}]}\n\n' + rest,
        "no JSON": words + b"data: hello {\n\ndata: []\n\ndata: 1\n\ndata: null\n\n" + rest,
        "deep": words + b"data: " + b"[" * 5000 + b"]" * 5000 + b"\n\n" + rest,
        "done in a text": words + told.piece("data: [DONE]\n\ndata: [DONE]") + rest,
        "no empty line at the end": (words + rest)[:-1],
    }[case]


STRANGE = [
    "broken UTF-8",
    "NUL",
    "byte order mark",
    "CR",
    "CRLF",
    "comments",
    "event and id",
    "data in lines",
    "no blank",
    "unknown fields",
    "half a surrogate",
    "no JSON",
    "deep",
    "done in a text",
    "no empty line at the end",
]


@pytest.mark.parametrize("case", STRANGE)
async def test_u18_strange_streams(opened: Open, case: str) -> None:
    place = await opened()
    told = Told("gen-strange", COST_PUSD)
    whole = strange(told, case)
    await exactly(place, told, stream_head() + chunk(whole) + END, whole)
    bytewise = b"".join(chunk(whole[at : at + 1]) for at in range(len(whole)))
    other = Told("gen-strange-2", COST_PUSD)
    place.upstream.next(Turn((stream_head(f"X-Generation-Id: {other.id}") + bytewise + END,), {other.id: COST_PUSD}))
    answer = await place.chat(stream=True)
    assert answer.body == whole
    assert (await place.booked())["cost_pusd"] == COST_PUSD
    await place.works()


@pytest.mark.parametrize("case", ["broken UTF-8", "NUL", "byte order mark", "half a surrogate", "padding"])
async def test_u18_strange_answers(opened: Open, case: str) -> None:
    place = await opened()
    told = Told("gen-strange", COST_PUSD)
    body = told.body()
    odd = {
        "broken UTF-8": body.replace(b"rained", b"r\xff\xfened"),
        "NUL": body.replace(b"rained", b"r\\u0000ned"),
        "byte order mark": b"\xef\xbb\xbf" + body,
        "half a surrogate": body.replace(b"rained", b"\\udc00"),
        "padding": b"\n \r\n\t" + body + b"\n\n",
    }[case]
    await exactly(place, told, plain(odd), odd, stream=False)
    await place.works()


def billed(told: Told, case: str) -> bytes:
    """Give a stream whose bill stands in an odd place."""
    words, usage = told.content(), told.usage_text()
    preview = '{"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9, "cost": 0.000000000001}'
    finish, bill = told.finish(), told.bill()
    alone = event(f'{{"id": "{told.id}", "choices": [], "usage": {usage}}}')
    return b"".join(
        {
            "without a choice": [*words, finish, alone, DONE],
            "with the finish": [*words, told.piece(finish="stop", usage=usage), DONE],
            "before, as a preview": [told.piece(usage=preview), *words, finish, bill, DONE],
            "in every event": [*[told.piece(word, usage=preview) for word in ("a", "b")], finish, bill, DONE],
            "null until the end": [*[told.piece(word, usage="null") for word in ("a", "b")], finish, bill, DONE],
            "twice": [*words, finish, told.piece(usage=preview), bill, DONE],
            "after [DONE]": [*words, finish, DONE, bill],
            "twice, the last one null": [*words, finish, bill, told.piece(usage="null"), DONE],
        }[case]
    )


@pytest.mark.parametrize(
    "case",
    [
        "without a choice",
        "with the finish",
        "before, as a preview",
        "in every event",
        "null until the end",
        "twice",
        "after [DONE]",
        "twice, the last one null",
    ],
)
async def test_u19_a_bill_in_an_odd_place(opened: Open, case: str) -> None:
    """The last one that makes sense counts."""
    place = await opened()
    told = Told("gen-billed", COST_PUSD)
    whole = billed(told, case)
    await exactly(place, told, stream_head() + chunk(whole) + END, whole)
    await place.works()


@pytest.mark.parametrize("case", ["missing", "null", "empty", "a word"])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_u19_no_bill(opened: Open, case: str, stream: bool) -> None:
    """Passed on as it came; the cost is asked for, and the worst case charged where nobody knows it."""
    place = await opened({"ledger": {"lookup_timeout_s": 0}})
    usage = {"missing": None, "null": "null", "empty": "{}", "a word": '"none"'}[case]
    for known in (True, False):
        told = Told(f"gen-{known}", COST_PUSD)
        events = [*told.content(), told.piece(finish="stop", usage=usage), DONE]
        sent = told.stream(events) + END if stream else plain(told.body(usage), f"X-Generation-Id: {told.id}")
        place.upstream.next(Turn((sent,), {told.id: COST_PUSD} if known else {}))
        answer = clean(await place.chat(stream=stream))
        assert answer.body == (b"".join(events) if stream else told.body(usage))
        row = await place.booked()
        want = ("settled", COST_PUSD, "generation") if known else ("settled", row["reserved_pusd"], "reservation")
        assert (await place.figures())[:3] == want
        assert row["flags"] == (None if known else "usage_missing")
    await place.works()


async def test_u19_no_bill_at_a_provider_without_records(opened: Open) -> None:
    place = await opened()
    told = Told("chatcmpl-1", 1, cost=None)
    for stream in (False, True):
        events = [*told.content(), told.finish(), DONE]
        place.upstream.next(Turn((told.stream(events) + END if stream else plain(told.body(None)),)))
        assert (await place.chat("plain", stream=stream)).status == 200
        row = await place.booked()
        assert (row["cost_pusd"], row["cost_source"]) == (row["reserved_pusd"], "estimate")
        assert row["flags"] == "usage_missing"
    await place.works("plain")


async def test_u15_to_u19_end_with_the_connection(opened: Open) -> None:
    """A stream without any framing is whole when it says so."""
    place = await opened()
    told = Told("gen-unframed", COST_PUSD)
    whole = b"".join(told.events())
    place.upstream.next(
        Turn((head(200, "Content-Type: text/event-stream", "Connection: close") + whole, Close()), {told.id: COST_PUSD})
    )
    answer = clean(await place.chat(stream=True))
    assert answer.body == whole
    assert await place.figures() == EXACT
    await place.works()
