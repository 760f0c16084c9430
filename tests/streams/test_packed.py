"""A stream in a coding that is not undone here passes as it came: nothing of ours is put behind or between."""

from pathlib import Path

import pytest

from tests.faults.place import place
from tests.faults.raw_upstream import Pause, Reset, Turn
from tests.faults.told import END, Told, chunk, stream_head

PACKED = bytes(range(256)) * 20 + b"\n\n: \r\n"  # what brotli or zstd make looks like nothing to us
CODINGS = ["br", "zstd", "gzip, br", "compress"]
CONFIG = {"presets": {"two": ["openai/gpt-4o-mini", "openai/gpt-4o"]}, "server": {"keep_alive_s": 0.1}}


@pytest.mark.sampled(0.4)
@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("model", ["openrouter", "two", "plain"])
async def test_a_packed_stream_passes_unread(tmp_path: Path, coding: str, model: str) -> None:
    async with place(tmp_path, CONFIG) as found:
        head = stream_head(f"Content-Encoding: {coding}", "X-Generation-Id: gen-packed")
        steps = (head + chunk(PACKED[:700]), Pause(0.5), chunk(PACKED[700:]) + END)
        found.upstream.next(Turn(steps, {"gen-packed": 4_000_000}))
        answer = await found.chat(model, stream=True)
        assert (answer.status, answer.end, answer.body) == (200, "complete", PACKED)
        assert answer.header("content-encoding") == coding
        row = await found.booked()
        assert (row["state"], row["error"]) == ("settled", None)
        assert row["cost_source"] == "generation" or "usage_missing" in row["flags"]


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "general"])
async def test_one_that_breaks_ends_without_a_sign(tmp_path: Path, lane: bool) -> None:
    """An event of ours would be taken for packed bytes; that the end is missing is what tells the client."""
    async with place(tmp_path, {"server": {"fast_path": lane}}) as found:
        head = stream_head("Content-Encoding: br", "X-Generation-Id: gen-packed")
        found.upstream.next(Turn((head + chunk(PACKED), Pause(0.1), Reset()), {"gen-packed": 4_000_000}))
        answer = await found.chat(stream=True)
        assert answer.body == PACKED
        assert answer.end in ("fin", "rst")
        row = await found.booked()
        assert row["error"] == "upstream_broken"
        assert "answer_broken" in row["flags"]


async def test_a_coding_that_is_not_used(tmp_path: Path) -> None:
    """The label is not true: what comes is read, and an error is told in it."""
    async with place(tmp_path) as found:
        told = Told("gen-plain", 4_000_000)
        head = stream_head("Content-Encoding: br", f"X-Generation-Id: {told.id}")
        found.upstream.next(Turn((head + chunk(b"".join(told.events())) + END,), {told.id: 4_000_000}))
        assert (await found.chat(stream=True)).body == b"".join(told.events())
        row = await found.booked()
        assert (row["cost_pusd"], row["cost_source"], row["flags"]) == (4_000_000, "provider", None)
