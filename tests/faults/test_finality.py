"""A usage that is not the last word: content behind it, zeros, or fewer tokens than the text can be.

Where the provider keeps records it is looked up; else the worst case is charged, or what it says if that is more; and
the row names the rule. The counts of such a row are not told as if they were true.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

import pytest

from tests.faults.conftest import Open
from tests.faults.place import PRICED_PUSD, Place, body_of, clean
from tests.faults.raw_upstream import Reset, Step, Turn
from tests.faults.seen import BOTH, KINDS
from tests.faults.told import DONE, END, Told, chunk, event, plain, stream_head
from tests.support.raw import ask

COST_PUSD: Final = 25_950_000
PARTIAL: Final = '{"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11, "cost": 0.000001}'
WHOLE: Final = '{"prompt_tokens": 9, "completion_tokens": 11, "total_tokens": 20, "cost": 0.00002595}'
ZEROS: Final = '{"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "cost": 0}'
ONE: Final = '{"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}'


def _streams(told: Told) -> dict[str, tuple[Sequence[bytes], bool, str]]:
    """Give events, whether the connection is reset behind them, and the flag that the row gets."""
    first, *rest = told.content()
    usage = told.piece(usage=PARTIAL)
    return {
        "in mid-stream, then [DONE]": ([first, usage, *rest, told.finish(), DONE], False, "usage_not_final"),
        "in mid-stream, then a reset": ([first, usage, *rest], True, "answer_broken usage_not_final"),
        "in mid-stream, then no end": ([first, usage, *rest], False, "answer_broken usage_not_final"),
        "behind a finish, then more": (
            [first, told.finish(), usage, *rest, DONE],
            False,
            "usage_not_final",
        ),
        "zeros at the end": (
            [first, *rest, told.finish(), told.piece(usage=ZEROS), DONE],
            False,
            "usage_zero",
        ),
        "zeros in every piece": (
            [*(told.piece(word, usage=ZEROS) for word in ("Once", " upon")), told.finish(), DONE],
            False,
            "usage_zero",
        ),
    }


STREAMS: Final = tuple(_streams(Told("gen-names", 0)))


async def _charged(place: Place, provider: str, flags: str) -> None:
    """Hold the row against what the provider bills: found there, or the worst case and a flag."""
    row = await place.booked()
    if provider == "openrouter":
        assert (row["cost_pusd"], row["cost_source"]) == (COST_PUSD, "generation")
        assert row["flags"] == ("answer_broken" if "answer_broken" in flags else None)
    else:
        assert row["cost_pusd"] == row["reserved_pusd"] >= COST_PUSD
        assert (row["cost_source"], row["flags"]) == ("estimate", flags)
        assert (row["input_tokens"], row["output_tokens"]) == (None, None)


@KINDS
@pytest.mark.parametrize("case", STREAMS)
async def test_a_stream_whose_usage_is_not_the_last_word(opened: Open, provider: str, case: str) -> None:
    place = await opened()
    told = Told("gen-open", COST_PUSD)
    events, is_reset, flags = _streams(told)[case]
    steps: list[Step] = [told.stream(events) if is_reset else told.stream(events) + END]
    if is_reset:
        steps.append(Reset())
    place.upstream.next(Turn(tuple(steps), {told.id: COST_PUSD}))
    await place.chat(provider, stream=True, max_tokens=100)
    await _charged(place, provider, flags)
    await place.works(provider)


@KINDS
async def test_a_usage_in_every_piece_is_the_last_word_at_its_end(opened: Open, provider: str) -> None:
    """Each counts what was said with it, so that the last one holds."""
    place = await opened()
    told = Told("gen-every", COST_PUSD)
    events = [told.piece("Once", usage=PARTIAL), told.piece(" upon", usage=WHOLE), told.finish(), DONE]
    place.upstream.next(Turn((told.stream(events) + END,), {told.id: COST_PUSD}))
    clean(await place.chat(provider, stream=True))
    row = await place.booked()
    assert (row["input_tokens"], row["output_tokens"], row["flags"]) == (9, 11, None)
    assert row["cost_source"] == ("provider" if provider == "openrouter" else "price")


@KINDS
async def test_a_usage_that_falls_is_read_as_the_greater(opened: Open, provider: str) -> None:
    place = await opened()
    told = Told("gen-falls", COST_PUSD)
    events = [*told.content(), told.piece(finish="stop", usage=WHOLE), told.piece(usage=PARTIAL), DONE]
    place.upstream.next(Turn((told.stream(events) + END,), {told.id: COST_PUSD}))
    clean(await place.chat(provider, stream=True))
    row = await place.booked()
    assert (row["input_tokens"], row["output_tokens"], row["flags"]) == (9, 11, "usage_fell")
    assert row["cost_pusd"] == (COST_PUSD if provider == "openrouter" else 9 * 150_000 + 11 * 600_000)


@KINDS
async def test_zeros_in_a_plain_answer(opened: Open, provider: str) -> None:
    place = await opened()
    told = Told("gen-zero", COST_PUSD)
    data = plain(told.body(ZEROS), f"X-Generation-Id: {told.id}")
    place.upstream.next(Turn((data,), {told.id: COST_PUSD}))
    clean(await place.chat(provider, max_tokens=100))
    await _charged(place, provider, "usage_zero")


TEXT: Final = " ".join(f"word{n}" for n in range(3000))


@BOTH
async def test_far_more_text_than_the_tokens_could_say(opened: Open, stream: bool) -> None:
    place = await opened()
    told = Told("chatcmpl-long", 0)
    if stream:
        pieces = [told.piece(TEXT[at : at + 200]) for at in range(0, len(TEXT), 200)]
        data = told.stream([*pieces, told.finish(), told.piece(usage=ONE), DONE]) + END
    else:
        choice = {"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}
        data = plain(told.body(ONE, choices=[choice]))
    place.upstream.next(Turn((data,)))
    clean(await place.chat("plain", stream=stream, max_tokens=10_000))
    row = await place.booked()
    assert (row["cost_pusd"], row["flags"]) == (row["reserved_pusd"], "usage_too_small")


HONEST: Final[dict[str, tuple[list[str], int]]] = {
    "character by character": (list("It rained and rained. " * 20), 110),
    "a long run of blanks, each by itself": ([" "] * 500, 6),
    "a long run of blanks in one piece": ([" " * 5000, "."], 45),
    "a line of dashes": (["-" * 3000], 30),
    "Chinese in escapes": (["下雨了。" * 100], 300),
    "one word": (["Yes"], 1),
}


@BOTH
@pytest.mark.parametrize("case", HONEST)
async def test_an_honest_count_is_never_doubted(opened: Open, case: str, stream: bool) -> None:
    place = await opened()
    words, tokens = HONEST[case]
    usage = json.dumps({"prompt_tokens": 9, "completion_tokens": tokens, "total_tokens": 9 + tokens})
    told = Told("chatcmpl-honest", 0)
    if stream:
        pieces = [_escaped(told, word) for word in words]
        data = told.stream([*pieces, told.finish(), told.piece(usage=usage), DONE]) + END
    else:
        choice = {"index": 0, "message": {"role": "assistant", "content": "".join(words)}, "finish_reason": "stop"}
        data = plain(told.body(usage, choices=[choice]))
    place.upstream.next(Turn((data,)))
    clean(await place.chat("plain", stream=stream, max_tokens=400))
    row = await place.booked()
    assert (row["cost_pusd"], row["flags"]) == (9 * 150_000 + tokens * 600_000, None)


_SOURCE: Final = {"type": "url_citation", "url_citation": {"url": "https://a.test/", "content": "It rained. " * 900}}
NO_TEXT: Final[dict[str, tuple[bytes, dict[str, Any]]]] = {
    "signs of life": (b": PROCESSING\n\n" * 2000, {}),
    "a comment without end": (b": " + b"y" * 300_000 + b"\n\n", {}),
    "a picture": (b"", {"images": [{"image_url": {"url": "data:image/png;base64," + "iVBO" * 100_000}}]}),
    "a sound": (b"", {"audio": {"data": "UklG" * 20_000}}),
    "sources": (b"", {"annotations": [_SOURCE]}),
    "no chunk at all": (b"data: " + b"[" * 5000 + b"]" * 5000 + b"\n\n", {}),
}


@pytest.mark.parametrize("ahead", [True, False], ids=["ahead of the text", "after it"])
@pytest.mark.parametrize("case", NO_TEXT)
async def test_what_is_no_text_is_no_reason_to_doubt(opened: Open, case: str, ahead: bool) -> None:
    place = await opened()
    comments, delta = NO_TEXT[case]
    told = Told("chatcmpl-more", 0)
    choice = {"index": 0, "delta": {"content": "", **delta}, "finish_reason": None}
    more = [comments] if comments else [event({"id": told.id, "model": "m", "choices": [choice]})]
    said = [*more, *told.content()] if ahead else [*told.content(), *more]
    place.upstream.next(Turn((told.stream([*said, told.finish(), told.piece(usage=WHOLE), DONE]) + END,)))
    clean(await place.chat("plain", stream=True, max_tokens=400))
    row = await place.booked()
    assert (row["cost_pusd"], row["flags"]) == (PRICED_PUSD, None)


async def test_one_large_event_of_text_is_counted(opened: Open) -> None:
    """Also where it is too large to be read."""
    place = await opened()
    for size in (100_000, 20_000_000):
        told = Told(f"gen-large-{size}", COST_PUSD)
        said = [*told.content(), told.piece("It rained. " * (size // 11)), told.finish()]
        place.upstream.next(Turn((told.stream([*said, told.bill(), DONE]) + END,)))
        clean(await place.chat(stream=True, max_tokens=400))
        row = await place.booked()
        assert (row["cost_pusd"], row["flags"]) == (COST_PUSD, "usage_too_small")


async def test_the_audit_knows_why_more_than_was_held_is_booked(opened: Open) -> None:
    """The place looks for differences at its end."""
    place = await opened()
    told = Told("gen-long", 0)
    said = [told.piece("It rained. " * 20_000), told.finish(), told.piece(usage=ONE), DONE]
    place.upstream.next(Turn((told.stream(said) + END,)))
    clean(await place.chat("plain", stream=True, max_tokens=5))
    row = await place.booked()
    assert row["flags"] == "over_reservation usage_too_small"
    assert row["cost_pusd"] > row["reserved_pusd"]


def _escaped(told: Told, word: str) -> bytes:
    choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
    return f"data: {json.dumps({'id': told.id, 'model': 'm', 'choices': [choice]})}\n\n".encode()


def _typed(events: Sequence[dict[str, Any]]) -> bytes:
    written = (f"event: {fields['type']}\n".encode() + event(fields) for fields in events)
    return stream_head() + b"".join(chunk(part) for part in written) + END


def _message(*end: dict[str, Any]) -> bytes:
    usage = {"input_tokens": 9, "output_tokens": 1}
    start = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": usage}
    return _typed(
        [
            {"type": "message_start", "message": start},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": w}} for w in "abc"),
            *end,
        ]
    )


_STOP: Final = {"type": "message_stop"}
_SAID: Final = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "d"}}


def _delta(stop_reason: str | None, **usage: int) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": stop_reason}, "usage": usage}


ENDS: Final[dict[str, tuple[list[dict[str, Any]], str | None]]] = {
    "as it should be": ([_delta("end_turn", output_tokens=3), _STOP], None),
    "message_stop alone": ([_STOP], "usage_not_final"),
    "a count, then more": ([_delta(None, output_tokens=3), _SAID, _STOP], "usage_not_final"),
    "an end, then more": ([_delta("end_turn", output_tokens=3), _SAID, _STOP], "usage_not_final"),
    "two counts": ([_delta(None, output_tokens=2), _SAID, _delta("end_turn", output_tokens=3), _STOP], None),
    "a count that falls": ([_delta(None, output_tokens=3), _delta("end_turn", output_tokens=2), _STOP], "usage_fell"),
    "a prompt that goes": ([_delta("end_turn", input_tokens=0, output_tokens=3), _STOP], "usage_fell"),
}


@pytest.mark.parametrize("case", ENDS)
async def test_the_counts_of_a_message(opened: Open, case: str) -> None:
    place = await opened()
    end, flags = ENDS[case]
    place.upstream.next(Turn((_message(*end),)))
    body = {**body_of("plain", stream=True), "max_tokens": 50}
    answer = await ask(place.app.port, "POST", "/v1/messages", body, token=place.token)
    assert answer.status == 200
    row = await place.booked()
    assert row["flags"] == flags
    if flags == "usage_not_final":
        assert (row["cost_pusd"], row["output_tokens"]) == (row["reserved_pusd"], None)
    else:
        assert (row["cost_pusd"], row["input_tokens"], row["output_tokens"]) == (9 * 150_000 + 3 * 600_000, 9, 3)
