"""Whatever the cut, bytes pass unchanged and the meter reads the same; hiding usage changes nothing else."""

import itertools
import json
import re
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.wire.stream_meter import StreamMeter
from tests.support.sampling import drawn

CANARY = "Kanarienvogel"


def message(choices: list[Any], **fields: Any) -> dict[str, Any]:
    head = {"id": "gen-1", "object": "chat.completion.chunk", "created": 1793539200}
    return {**head, "model": "openai/gpt-4o-mini", "provider": "OpenAI", "choices": choices, **fields}


def choice(delta: dict[str, Any], finish_reason: str | None = None) -> list[Any]:
    return [{"index": 0, "delta": delta, "finish_reason": finish_reason, "native_finish_reason": None}]


def event(value: Any) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


def say(content: str, **fields: Any) -> bytes:
    return event(message(choice({"role": "assistant", "content": content}), **fields))


def usage(output_tokens: int = 80, cost: Any = 0.000168) -> dict[str, Any]:
    return {
        "prompt_tokens": 1200,
        "completion_tokens": output_tokens,
        "total_tokens": 1200 + output_tokens,
        "cost": cost,
        "is_byok": False,
        "prompt_tokens_details": {"cached_tokens": 800},
        "cost_details": {"upstream_inference_cost": cost},
        "completion_tokens_details": {"reasoning_tokens": min(2, output_tokens)},
    }


PROCESSING = b": OPENROUTER PROCESSING\n\n"
EMPTY = {"role": "assistant", "content": ""}
DONE = b"data: [DONE]\n\n"
STOP = event(message(choice(EMPTY, "stop")))
START = PROCESSING * 2 + event(message(choice(EMPTY))) + say(" h\u00e9\U0001f600") + PROCESSING + say(f" {CANARY}")
USAGE_A = event(message(choice(EMPTY, "stop"), usage=usage()))
USAGE_C = event(message([], usage=usage()))
ERROR = event(
    message(
        choice({"content": ""}, "error"),
        error={"code": 502, "message": CANARY, "metadata": {"error_type": "provider_unavailable"}},
    )
)
OPENAI = (
    say("a", usage=None, obfuscation="x}y")
    + say("b", usage=None, obfuscation="]")
    + say("c", usage=None)
    + event(message(choice({}, "stop"), usage=None, obfuscation="zz"))
    + event(message([], usage=usage(), obfuscation=""))
    + DONE
)


@dataclass
class Case:
    """A stream, and what it says to one who reads it by eye."""

    stream: bytes
    output_tokens: int | None = 80
    finish_reason: str | None = "stop"
    content: bool = True
    done: bool = True
    error: tuple[str, str] | None = None
    cost_pusd: int | None = field(default=168_000_000)


SHAPE_A = START + STOP + USAGE_A + DONE

CASES = {
    "shape A: usage beside a repeated finish": Case(SHAPE_A),
    "shape B: usage beside an empty delta": Case(START + STOP + event(message(choice(EMPTY), usage=usage())) + DONE),
    "shape C: usage without a choice": Case(START + STOP + USAGE_C + DONE),
    "OpenAI: usage null in every chunk": Case(OPENAI),
    "CRLF": Case(SHAPE_A.replace(b"\n", b"\r\n")),
    "CR": Case(SHAPE_A.replace(b"\n", b"\r")),
    "line ends mixed": Case(START + STOP.replace(b"\n", b"\r\n") + USAGE_A.replace(b"\n", b"\r") + DONE),
    "byte order mark": Case(b"\xef\xbb\xbf" + SHAPE_A.removeprefix(PROCESSING * 2)),
    "other fields, blank lines, no space after the colon": Case(
        b"\n\nretry: 5\n\n" + SHAPE_A.replace(b"data: ", b"event: message\nid: 7\ndata:") + b"\n\n\n"
    ),
    "data on several lines": Case(START + STOP + USAGE_C.replace(b',"model"', b'\ndata: ,\ndata:"model"') + DONE),
    "error in the middle, usage after it, no end": Case(
        START + ERROR + USAGE_C, finish_reason="error", done=False, error=("502", "provider_unavailable")
    ),
    "error and usage in one event": Case(
        START + event(message([], error={"code": "x_1", "type": "t", "message": CANARY}, usage=usage())) + DONE,
        finish_reason=None,
        error=("x_1", "t"),
    ),
    "nothing but an error": Case(
        event({"error": {"code": 429, "message": CANARY, "type": "rate_limit"}}),
        output_tokens=None,
        cost_pusd=None,
        finish_reason=None,
        content=False,
        done=False,
        error=("429", "rate_limit"),
    ),
    "usage in the first chunk only": Case(
        say("a", usage=usage(1)) + say("b") + STOP + DONE,
        output_tokens=1,
    ),
    "usage in every chunk, the last counts": Case(
        say("a", usage=usage(1, 0.00001)) + say("b", usage=usage(2, 0.00002)) + USAGE_A + DONE
    ),
    "usage twice, then one that says nothing": Case(
        START + STOP + event(message([], usage=usage(3))) + USAGE_C + event(message([], usage={"x": 1})) + DONE
    ),
    "usage after the end": Case(START + STOP + DONE + PROCESSING + USAGE_C),
    "last event unended": Case(START + STOP + USAGE_A.rstrip(b"\n"), done=False),
    "end unended": Case(START + STOP + USAGE_A + DONE.rstrip(b"\n")),
    "usage and the end in the words": Case(
        say('"usage":{"cost":9} data: [DONE] \n\ndata: [DONE]\n\n,"usage":null}') + STOP + USAGE_A + DONE
    ),
    "usage deeper down, and as a value": Case(
        say("a", x={"usage": None, "y": [{"usage": {"prompt_tokens": 1}}]}, z="usage") + STOP + USAGE_C + DONE
    ),
    "spaces in the JSON": Case(
        b"".join(
            b"data: " + json.dumps(m, indent=None).encode() + b"\n\n"
            for m in [
                message(choice({"content": "a"}), usage=None),
                message(choice({}, "stop")),
                message([], usage=usage()),
            ]
        )
        + DONE
    ),
    "usage first of the members": Case(
        event({"usage": None, **message(choice({"content": "a"}, "stop"))}) + event({"usage": usage()}) + DONE
    ),
    "broken UTF-8 and broken JSON on the way": Case(
        say("a") + b'data: {"x":"\xff\xfe\x00"}\n\ndata: {"usage":\n\ndata: 5\n\n' + STOP + USAGE_A + DONE
    ),
    "cost with a flaw beside it": Case(
        START + STOP + USAGE_C.replace(b'"created":1793539200', b'"created":NaN') + DONE,
    ),
    "tool calls": Case(
        event(message(choice({"role": "assistant", "tool_calls": [{"index": 0}]}))) + STOP + USAGE_C + DONE
    ),
    "plain completions": Case(event({"id": "gen-1", "choices": [{"text": "a"}]}) + STOP + USAGE_C + DONE),
    "only a role": Case(event(message(choice(EMPTY))) + STOP + USAGE_C + DONE, content=False),
    "no usage": Case(START + STOP + DONE, output_tokens=None, cost_pusd=None),
    "nothing": Case(b"", output_tokens=None, cost_pusd=None, finish_reason=None, content=False, done=False),
    "JSON where a stream was asked for": Case(
        b"\n         \n"
        + orjson.dumps(message([{"message": {"content": "x"}, "finish_reason": "stop"}], usage=usage())),
        done=False,
    ),
}


def run(chunks: list[bytes], *, hide: bool = False, **options: Any) -> tuple[StreamMeter, bytes]:
    meter = StreamMeter(hide, **options)
    given_back = b"".join([meter.feed(chunk) for chunk in chunks])
    return meter, given_back + meter.finish()


def said(meter: StreamMeter) -> dict[str, Any]:
    """Return all that a meter tells, but for a size that holds some of the comments, by where it was cut."""
    names = [name for name in StreamMeter.__slots__ if not name.startswith("_") and name != "told_bytes"]
    return {**{name: getattr(meter, name) for name in names}, "least_tokens": meter.least_tokens}


def cuts(stream: bytes) -> list[list[bytes]]:
    """Return the stream whole, cut at each position, and in pieces of one to three bytes."""
    halves = [[stream[:at], stream[at:]] for at in drawn(range(1, len(stream)), 0.2, "cuts")]
    pieces = [[stream[i : i + size] for i in range(0, len(stream), size)] for size in (1, 2, 3)]
    return [[stream], *halves, *pieces]


@pytest.fixture(params=CASES.values(), ids=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.mark.parametrize("hide", [False, True])
def test_it_reads_what_the_stream_says(case: Case, hide: bool) -> None:
    meter, _ = run([case.stream], hide=hide)
    assert meter.finish_reason == case.finish_reason
    assert meter.content_seen == case.content
    assert meter.done == case.done
    assert meter.error_seen == (case.error is not None)
    assert (meter.error_code, meter.error_type) == (case.error or (None, None))
    assert (meter.usage.output_tokens if meter.usage else None) == case.output_tokens
    assert (meter.usage.cost_pusd if meter.usage else None) == case.cost_pusd
    assert not meter.oversized
    if case.content:
        assert (meter.generation_id, meter.model) == ("gen-1", "openai/gpt-4o-mini")
    kept = said(meter)
    kept.pop("error")  # it is what the failure is judged by, and goes nowhere
    assert CANARY not in repr(kept)


@pytest.mark.parametrize("hide", [False, True])
def test_no_cut_changes_what_it_reads(case: Case, hide: bool) -> None:
    whole = said(run([case.stream], hide=hide)[0])
    for chunks in cuts(case.stream):
        assert said(run(chunks, hide=hide)[0]) == whole


def test_every_byte_passes_and_the_end_is_held(case: Case) -> None:
    for chunks in cuts(case.stream):
        meter, given_back = run(chunks)
        assert given_back + meter.held == case.stream
        assert re.search(rb"(?:\A|[\r\n])(?:\xef\xbb\xbf)?data: ?\[DONE\]", given_back) is None
        assert bool(meter.held) == case.done


def test_a_chunk_of_whole_events_is_given_back_itself() -> None:
    meter = StreamMeter()
    for chunk in [say("a"), say("b"), say("c") * 5, PROCESSING, STOP, USAGE_A]:
        assert meter.feed(chunk) is chunk


def events_of(text: bytes) -> list[tuple[list[bytes], Any]]:
    """Give (lines that are no data, data) of each event, by the letter of the standard."""
    events: list[tuple[list[bytes], list[bytes]]] = [([], [])]
    for raw_line in text.splitlines():
        line = raw_line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            events.append(([], []))
        elif line.startswith(b"data:"):
            events[-1][1].append(line[5:])
        else:
            events[-1][0].append(line)
    return [(other, b"\n".join(data)) for other, data in events if other or data]


def parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data


ENVELOPE = {"id", "object", "created", "model", "provider", "system_fingerprint", "service_tier", "obfuscation"}


def hidden(stream: bytes) -> list[tuple[list[bytes], Any]]:
    """Give the events that one must see who did not ask for usage."""
    kept = []
    for other, data in events_of(stream):
        value = parsed(data)
        if isinstance(value, dict) and "usage" in value:
            used = value.pop("usage")
            if used is not None and not any(told for name, told in value.items() if name not in ENVELOPE):
                continue
        kept.append((other, value))
    return kept


def without_comments(events: list[tuple[list[bytes], Any]]) -> list[tuple[list[bytes], Any]]:
    """Leave comments out: those ahead of a usage stay, and stand ahead of what follows."""
    told = [([line for line in other if not line.startswith(b":")], data) for other, data in events]
    return [(other, data) for other, data in told if other or data != b""]


def test_hiding_takes_out_the_usage_and_nothing_else(case: Case) -> None:
    wanted = hidden(case.stream)
    for chunks in cuts(case.stream):
        meter, given_back = run(chunks, hide=True)
        assert [(other, parsed(data)) for other, data in events_of(given_back + meter.held)] == wanted
        assert b"data: [DONE]\n" not in given_back.replace(b"\\n", b"").replace(b"\r", b"\n")
        assert bool(meter.held) == case.done


def test_hiding_cuts_bytes_and_writes_nothing_anew() -> None:
    odd = b'data: {"n":1.50e0 ,"usage" : {"a":[1,"}"]} , "choices":[{"delta":{"content":"\\u00e9"}}]}\n\n'
    less = b'data: {"n":1.50e0  , "choices":[{"delta":{"content":"\\u00e9"}}]}\n\n'
    null = b'id: 3\ndata:{"choices":[{"delta":{}}],"usage":null,"z":1e5}\n\n'
    assert run([odd], hide=True)[1] == less
    assert run([null], hide=True)[1] == null.replace(b',"usage":null', b"")


def test_hiding_keeps_an_event_back_until_it_is_whole() -> None:
    meter = StreamMeter(True)
    whole = say("a", usage=None)
    assert meter.feed(PROCESSING + whole[:-1]) == PROCESSING
    assert meter.feed(whole[-1:] + b"data") == whole.replace(b',"usage":null', b"")
    assert meter.finish() == b"data"


@pytest.mark.parametrize(
    "deep",
    [
        b'data: {"choices":[{"delta":{"a":1,"usage":null}}]}\n\n',
        b'data: {"choices":[{"delta":{"content":"a"}}],"x":{"a":1,"usage":null}}\n\n',
        b'data: {"choices":[{"delta":{"content":"a"}}],"x":[{"a":1,"usage":null},1]}\n\n',
        b'data: {"choices":[{"delta":{"content":"a"}}],"x":{"a":1,"usage":null,"b":"}"}}\n\n',
    ],
)
def test_usage_deeper_down_is_not_hidden(deep: bytes) -> None:
    assert run([deep], hide=True)[1] == deep


USED = b'"usage":{"completion_tokens":2,"cost":1e-2}'
SAYS = b'"choices":[{"delta":{"content":"a"}}]'
LEFT: dict[str, tuple[bytes, bytes]] = {  # an event with usage, and what must be left of it
    "usage twice": (b'data: {"usage":null,"n":1e2,%b,"usage":null}\n\n' % SAYS, b'data: {"n":1e2,%b}\n\n' % SAYS),
    "twice in a row": (b"data: {%b,%b , %b}\n\n" % (USED, USED, SAYS), b"data: {%b}\n\n" % SAYS),
    "twice, and the word all over": (
        b'data: {"usages":"usage","a":{"usage":1},%b,%b,"b":[{"usage":2}],"usage":3}\n\n' % (USED, SAYS),
        b'data: {"usages":"usage","a":{"usage":1},%b,"b":[{"usage":2}]}\n\n' % SAYS,
    ),
    "citations": (
        b'data: {"id":"c","choices":[],%b,"citations":["https://x"]}\n\n' % USED,
        b'data: {"id":"c","choices":[],"citations":["https://x"]}\n\n',
    ),
    "timings, first of all usage": (
        b'data: { %b , "choices":[],"timings":{"predicted_ms":1.50}}\n\n' % USED,
        b'data: { "choices":[],"timings":{"predicted_ms":1.50}}\n\n',
    ),
    "a flag": (b'data: {"choices":[],"final":false,%b}\n\n' % USED, b'data: {"choices":[],"final":false}\n\n'),
    "an error": (b'data: {%b,"error":{"code":1}}\n\n' % USED, b'data: {"error":{"code":1}}\n\n'),
    "on lines of their own": (
        b'data: {"choices":[{"delta":{"content":"a"}}],\r\ndata:"usage":\r\ndata:  {"cost":1},"z":1.0}\r\n\r\n',
        b'data: {"choices":[{"delta":{"content":"a"}}]\r\ndata:\r\ndata: ,"z":1.0}\r\n\r\n',
    ),
    "broken text beside it": (b'data: {"x":"\xff\xc3",%b}\n\n' % USED, b'data: {"x":"\xff\xc3"}\n\n'),
    "wide text before it": (
        'data: {"x":"\u00e9\u20ac\U0001f600",'.encode() + USED + b',"y":1}\n\n',
        'data: {"x":"\u00e9\u20ac\U0001f600","y":1}\n\n'.encode(),
    ),
    "nothing but the usual": (
        b'\ndata: {"id":"c","object":"x","created":1,"model":"m","choices":[],"service_tier":null,%b}\n\n' % USED,
        b"\n",
    ),
    "what is null beside it": (b'data: {"choices":[],"error":null,"x":null,%b}\n\n' % USED, b""),
    "no object": (b'data: ["usage",1]\n\n', b'data: ["usage",1]\n\n'),
    "more than an object": (b'data: {"usage":1} {}\n\n', b'data: {"usage":1} {}\n\n'),
}


@pytest.mark.parametrize("case", LEFT)
def test_nothing_but_the_usage_is_lost(case: str) -> None:
    event, left = LEFT[case]
    for chunks in cuts(say("a") + event + DONE):
        meter, given_back = run(chunks, hide=True)
        assert given_back + meter.held == say("a") + left + DONE


@pytest.mark.parametrize("end", [b"\r\n", b"\r", b"\n"])
def test_no_line_end_is_lost_or_added(end: bytes) -> None:
    """Round an event that is left out: a CR LF that comes in two pieces is one."""
    events = [item.replace(b"\n", end) for item in (say("a"), USAGE_C, STOP, USAGE_C, USAGE_C, say("b"), DONE)]
    wanted = b"".join(item for n, item in enumerate(events) if n not in (1, 3, 4))
    for chunks in cuts(b"".join(events)):
        meter, given_back = run(chunks, hide=True)
        assert given_back + meter.held == wanted


@pytest.mark.parametrize("hide", [False, True])
@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
def test_an_event_too_large_passes_unread_in_bounded_memory(hide: bool, size: int) -> None:
    large = say("x" * 5000, usage=usage(1))
    stream = say("a") + large + say("b") + USAGE_C + DONE
    meter = StreamMeter(hide, max_event_bytes=1000)
    given_back = b""
    for i in range(0, len(stream), size):
        given_back += meter.feed(stream[i : i + size])
        assert len(meter._splitter()._pending) <= 1000
    given_back += meter.finish()
    assert meter.oversized
    assert meter.usage is not None
    assert meter.usage.output_tokens == 80
    assert given_back + meter.held == (stream.replace(USAGE_C, b"") if hide else stream)
    assert DONE.endswith(meter.held)
    assert b"]" in meter.held


@pytest.mark.parametrize("hide", [False, True])
def test_a_stream_that_goes_on_after_its_end_does_not_fill_the_memory(hide: bool) -> None:
    meter = StreamMeter(hide, max_event_bytes=1000)
    meter.feed(say("a") + DONE)
    for _ in range(100):
        assert meter.feed(say("b")) == b""
    assert len(meter.held) <= 1000
    assert meter.held.startswith(DONE)
    assert meter.oversized


def test_data_lines_are_counted() -> None:
    assert run([START + STOP + USAGE_A + DONE])[0].data_lines == 6


parts = st.sampled_from(
    [
        *(PROCESSING, say("a"), say("b", usage=None), STOP, USAGE_A, USAGE_C, ERROR, DONE),
        *(b"\n", b"\r\n", b"\r", b": x\n", b"data: \xff\n\n", b"data:", b"[DONE]"),
        *(say("\u00e9").replace(b"\n", b"\r\n"), say("c").replace(b"\n", b"\r")),
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(parts, max_size=12), st.lists(st.integers(0, 4000), max_size=20), st.booleans())
def test_any_stream_cut_anyhow(pieces: list[bytes], at: list[int], hide: bool) -> None:
    stream = b"".join(pieces)
    edges = sorted({0, len(stream), *(i for i in at if i < len(stream))})
    chunks = [stream[a:b] for a, b in itertools.pairwise(edges)]
    meter, given_back = run(chunks, hide=hide)
    assert said(meter) == said(run([stream], hide=hide)[0])
    if hide:
        given = [(o, parsed(d)) for o, d in events_of(given_back + meter.held)]
        assert without_comments(given) == without_comments(hidden(stream))
    else:
        assert given_back + meter.held == stream


def test_hiding_lets_comments_through_at_once() -> None:
    """A sign of life of one line, with no empty line behind it, must reach a client that waits."""
    meter = StreamMeter(True)
    assert meter.feed(b": working\n") == b": working\n"
    assert meter.feed(b": still\r\n: wor") == b": still\r\n"
    assert meter.feed(b"king\n" + say("a")[:9]) == b": working\n"
    assert meter.feed(say("a")[9:]) == say("a")
    assert meter.feed(b": x\n" + USAGE_C[:-1]) == b": x\n"
    assert meter.feed(b"\n" + DONE) == b""
    assert meter.held == DONE


_ROLE = choice({"role": "assistant", "content": ""})

NOTHING = {
    "the end alone": [],
    "a role": [event(message(_ROLE))],
    "the word for a failure": [event(message(choice({"role": "assistant", "content": ""}, "error")))],
    "no choices": [event(message([], id=""))],
}
SOMETHING = {
    "text": [say("Hej")],
    "an empty answer that ended": [event(message(_ROLE)), event(message(choice({}, "stop")))],
    "a count": [event(message(_ROLE)), event(message([], usage=usage()))],
}


@pytest.mark.parametrize(("name", "chunks"), [*NOTHING.items(), *SOMETHING.items()])
def test_a_stream_without_an_answer_is_told_from_a_short_one(name: str, chunks: list[bytes]) -> None:
    meter, _ = run([*chunks, b"data: [DONE]\n\n"])
    assert meter.done
    assert meter.says_nothing is (name in NOTHING)


def test_choices_that_tell_their_own_usage_one_after_the_other() -> None:
    """Each counts what it wrote: the answer is the sum of them, as where they tell it in one event."""

    def ends(index: int, output_tokens: int) -> bytes:
        told = {"prompt_tokens": 7, "completion_tokens": output_tokens, "total_tokens": 7 + output_tokens}
        return event(message([{"index": index, "delta": {}, "finish_reason": "stop", "usage": told}]))

    said = event(message([{"index": n, "delta": {"content": "x"}} for n in (0, 1)]))
    meter = StreamMeter()
    meter.feed(said + ends(0, 10) + said + ends(1, 12) + DONE)
    meter.finish()
    assert meter.usage is not None
    assert (meter.usage[:2], meter.usage.doubts) == ((7, 22), frozenset({"usage_ambiguous"}))
    alone = StreamMeter()
    alone.feed(said + ends(0, 4) + ends(0, 10) + DONE)
    assert alone.usage is not None
    assert (alone.usage[:2], alone.usage.doubts) == ((7, 10), frozenset())


WORDS = st.sampled_from(
    [
        "usage",
        "error",
        "[DONE]",
        "data: [DONE]",
        "data:",
        '"',
        '"usage"',
        "\\",
        "\n",
        "\r",
        "\n\ndata: [DONE]\n\n",
        ":",
        "é",
    ]
)
RAW = st.sampled_from(  # what ends the string, or the event, that it stands in
    [
        b"\n\ndata: [DONE]\n\n",
        b"\r\rdata: [DONE]\r\r",
        b'","refusal":null}}],"usage":{"prompt_tokens":1,"completion_tokens":2},"x":[{"y":{"z":"',
        b'"}}],"error":{"code":502},"x":[{"delta":{"z":"',
        b"data:",
        b"\\",
    ]
)
SAID = st.one_of(
    st.lists(WORDS, max_size=4).map(" ".join).map(lambda text: say(f"{text}.")),
    st.sampled_from(
        [
            say("b", obfuscation="zz"),
            say("c") + say("d"),
            PROCESSING,
            PROCESSING + say("e"),
            say("x" * 3000),
            USAGE_C,
            STOP,
        ]
    ),
    # what no JSON is, with the ends of one that is
    st.lists(st.one_of(RAW, st.binary(max_size=30)), min_size=1, max_size=3).map(
        lambda texts: b"".join(say("@").replace(b"@", text) for text in texts)
    ),
    st.integers(1, 20).map(lambda n: b"".join(say("x" * 20 * i) for i in range(n))),
    st.just(say("@").replace(b'@"', b'"')[:-1]),
)


@given(st.lists(SAID, max_size=12), st.sampled_from([120, 10_000]))
def test_an_event_that_is_known_by_its_ends_is_read_as_any_other(said: list[bytes], max_event_bytes: int) -> None:
    known, read = (StreamMeter(max_event_bytes=max_event_bytes) for _ in range(2))
    read._frames_left = 0
    told = [name for name in StreamMeter.__slots__ if not name.startswith("_")] + ["least_tokens", "held", "finished"]
    for chunk in [say("a"), say("b"), *said, DONE]:
        assert known.feed(chunk) == read.feed(chunk)
        assert [getattr(known, name) for name in told] == [getattr(read, name) for name in told]
    assert known.finish() == read.finish()
    assert [getattr(known, name) for name in told] == [getattr(read, name) for name in told]


@given(st.lists(st.lists(SAID, min_size=1, max_size=3), max_size=6))
def test_chunks_that_are_known_are_counted_as_others_are(reads: list[list[bytes]]) -> None:
    known, read = StreamMeter(), StreamMeter()
    read._frames_left = 0
    told = [name for name in StreamMeter.__slots__ if not name.startswith("_")] + ["least_tokens", "held", "finished"]
    for payloads in [[say("a")], [say("b")], [say("c")], *reads, [DONE]]:
        if known.knows_chunks(b"".join([b"%x\r\n%b\r\n" % (len(one), one) for one in payloads])):
            assert [read.feed(one) for one in payloads] == payloads
        else:
            assert known.feed(b"".join(payloads)) == read.feed(b"".join(payloads))
        assert [getattr(known, name) for name in told] == [getattr(read, name) for name in told]


def test_chunks_are_known_one_or_several() -> None:
    meter = StreamMeter()
    for text in ("", "a", "b"):
        meter.feed(say(text))
    one, other = (b"%x\r\n%b\r\n" % (len(event), event) for event in (say("one"), say("the other, which is longer")))
    assert meter.knows_chunks(one)
    assert meter.knows_chunks(one + other + one)
    assert meter.data_lines == 7
    colon = one.replace(b"one", b"a:b")
    for bad in (colon, one + colon, one[:-1], one + other[:9], one + b"0\r\n\r\n", b"0" + one, other[1:]):
        assert not meter.knows_chunks(bad)
    assert meter.data_lines == 7


def test_events_that_differ_in_their_text_alone_are_known_by_their_ends() -> None:
    meter = StreamMeter()
    for text in ("", "a", "b"):
        meter.feed(say(text))
    before, _, behind, _, _ = meter._frame
    assert before
    assert say("c").startswith(before)
    assert say("c").endswith(behind)
