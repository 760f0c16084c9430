"""Known events go to the client in the chunks that they came in, and nothing else about a stream changes by it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.wire.stream_meter import StreamMeter
from tests.faults.place import Place, place
from tests.faults.raw_upstream import Pause, Step, Turn
from tests.faults.told import END, MODEL, chunk, stream_head
from tests.support.raw import Answer

EVENTS = 30
_USAGE = {"prompt_tokens": 9, "completion_tokens": 11, "total_tokens": 20, "cost": 0.000002}


def _event(text: str, finish: str | None = None, usage: object = None) -> bytes:
    choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": finish}
    told: dict[str, Any] = {"id": "gen-0", "object": "chat.completion.chunk", "model": MODEL, "choices": [choice]}
    if usage is not None:
        told["usage"] = usage
    return b"data: " + json.dumps(told, separators=(",", ":")).encode() + b"\n\n"


def _with_id(data: bytes, number: int) -> bytes:
    return data.replace(b"gen-0", b"gen-%d" % number)


WORDS = [_event(f"word{'s' * (n % 7)} {n}") for n in range(EVENTS)]
LAST = [_event("", "stop", _USAGE), b"data: [DONE]\n\n"]


def _upper(data: bytes) -> bytes:
    return b"0%X\r\n%b\r\n" % (len(data), data)


def _apart(reads: list[bytes]) -> Iterator[Step]:
    yield stream_head()
    for read in reads:
        yield read
        yield Pause(0.002)
    yield END


WAYS: dict[str, tuple[Callable[[], list[bytes]], int]] = {  # what comes in one read each; how many events pass so
    "each by itself": (lambda: [chunk(each) for each in (*WORDS, *LAST)], EVENTS - 5),
    "cut": (lambda: [part for each in (*WORDS, *LAST) for part in (chunk(each)[:9], chunk(each)[9:])], 0),
    "several in a read": (
        lambda: (
            [b"".join(map(chunk, WORDS[n : n + 3])) for n in range(0, EVENTS, 3)] + [chunk(LAST[0]) + chunk(LAST[1])]
        ),
        EVENTS - 9,
    ),
    "two in a chunk": (lambda: [chunk(WORDS[n] + WORDS[n + 1]) for n in range(0, EVENTS, 2)] + [chunk(LAST[0])], 0),
    "framed otherwise": (lambda: [_upper(each) for each in (*WORDS, *LAST)], 0),
    "by itself, then not": (
        lambda: [
            *map(chunk, WORDS[:20]),
            chunk(WORDS[20])[:1],
            chunk(WORDS[20])[1:],
            *map(chunk, WORDS[21:]),
            chunk(LAST[0]),
        ],
        10,
    ),
}


async def _ask(found: Place, reads: list[bytes]) -> Answer:
    turn = Turn(tuple(_apart(reads)))
    found.upstream.choose = lambda _: turn
    return await found.chat(stream=True)


async def test_the_same_bytes_and_the_same_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passed = 0
    knows_chunks = StreamMeter.knows_chunks

    def counted(self: StreamMeter, read: bytes) -> bool:
        nonlocal passed
        known = knows_chunks(self, read)
        passed += known * read.count(b"\n\n")
        return known

    monkeypatch.setattr(StreamMeter, "knows_chunks", counted)
    async with place(tmp_path) as found:
        for n, (way, (reads, least)) in enumerate(WAYS.items()):
            passed = 0
            answer = await _ask(found, [_with_id(each, n) for each in reads()])
            assert (answer.status, answer.end) == (200, "complete"), way
            assert answer.body.startswith(_with_id(b"".join((*WORDS, LAST[0])), n)), way
            row = await found.booked()
            assert (row["cost_pusd"], row["cost_source"], row["flags"]) == (2_000_000, "provider", None), way
            assert least <= passed <= (EVENTS if least else 0), way


async def test_a_client_that_goes(tmp_path: Path) -> None:
    """Among chunks that pass as they come a hang-up is noticed, and what follows is read to its end all the same."""
    async with place(tmp_path, {"providers": {"openrouter": {"on_disconnect": "drain"}}}) as found:
        steps = tuple(_apart([*map(chunk, (*WORDS, *WORDS, *LAST))]))
        found.upstream.choose = lambda _: Turn((*steps[:80], Pause(0.2), *steps[80:]))
        client = await found.begin_chat(stream=True)
        await client.read_until(b" 15")
        await client.hang_up()
        row = await found.booked()
        assert (row["cost_pusd"], row["cost_source"], row["flags"]) == (2_000_000, "provider", "client_gone")
