"""A plain stream's events are read as all events are, only sooner: the general reader is the witness."""

import random
from typing import Any

import orjson
import pytest

from proxy.wire.redact import ErrorScreen
from proxy.wire.stream_meter import StreamMeter
from proxy.wire.usage import Usage
from tests.support.sampling import count, seed
from tests.wire.test_plain_answer import PARTS

SECRET = b"sk-or-v1-0123456789"
USAGE = (
    b'{"prompt_tokens":1200,"completion_tokens":80,"total_tokens":1280,"cost":0.000168,"is_byok":false,'
    b'"prompt_tokens_details":{"cached_tokens":800,"audio_tokens":0},"cost_details":{"upstream_inference_cost":0.000168},'
    b'"completion_tokens_details":{"reasoning_tokens":7,"image_tokens":0}}'
)
COMMENT = b": OPENROUTER PROCESSING\n\n"
HEAD = b'data: {"id":"gen-1","object":"chat.completion.chunk","created":1793,"model":"m/n","provider":"P",'
DONE = b"data: [DONE]\n\n"


def say(delta: bytes, finish: bytes = b"null", more: bytes = b"") -> bytes:
    choice = b'{"index":0,"delta":{%b},"finish_reason":%b,"native_finish_reason":%b}' % (delta, finish, finish)
    return HEAD + b'"choices":[%b]%b}\n\n' % (choice, more)


TEXT = b'"role":"assistant","content":"Gr\xc3\xbc\xc3\x9fe"'
EMPTY = b'"role":"assistant","content":""'
STREAMS: dict[str, list[bytes]] = {
    "as OpenRouter ends it": [
        COMMENT,
        say(TEXT),
        say(b'"content":" a"'),
        say(EMPTY, b'"stop"', b',"usage":' + USAGE) + DONE,
    ],
    "each event by itself": [
        say(TEXT),
        say(b'"content":" a"'),
        say(EMPTY, b'"stop"'),
        say(EMPTY, b"null", b',"usage":' + USAGE),
        DONE,
    ],
    "thoughts first": [
        say(b'"role":"assistant","content":null,"reasoning":"Hm"', b"null", b',"usage":null'),
        say(b'"content":"a"', b"null", b',"usage":null') + say(b'"content":"b"', b'"length"', b',"usage":' + USAGE),
        COMMENT + DONE,
    ],
    "usage at the first text, too": [
        say(TEXT, b"null", b',"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}'),
        say(TEXT, b'"stop"', b',"usage":' + USAGE) + DONE,
    ],
}
OTHERS = [
    *PARTS,
    b"\n\n", b"\r", b"\n\r\n", b"data: ", b"data:", b"data: [DONE]\n\n", b": x\n\n", b"event: error\n", COMMENT, SECRET,
    b'"error":{"message":"' + SECRET + b'"},', b'"x_groq":{"usage":{"prompt_tokens":7,"completion_tokens":2}},',
    b'"eval_count":null,', b'"timings":{"prompt_n":4},', b'"message":{"content":"x"},', b'"text":"x",', b'"delta":{},',
    b'"finish_reason":"error",', b'"finish\\u005freason":"stop",', b'"tool_calls":[{"index":0}],', b'"index":1,',
    b",{}", b'"content":7,', b'"refusal":"no",', b'"reasoning":"why",', b'"usage":7,', b"{" * 40, b"[" * 1100,
]  # fmt: skip


class GeneralMeter(StreamMeter):
    """A meter that reads all events the general way."""

    __slots__ = ()

    def _feed_plainly(self, chunk: bytes) -> bytes | None:  # noqa: ARG002 - it overrides
        return None


def told(kind: type[StreamMeter], chunks: list[bytes], paths: tuple[tuple[str, ...], ...], most: int) -> Any:
    """Return what comes of a stream: what is passed on of each chunk, and all that a meter tells at each moment."""
    meter = kind(max_event_bytes=most)
    meter.screen = ErrorScreen(SECRET)
    meter.cost_paths = paths
    names = [name for name in StreamMeter.__slots__ if not name.startswith("_") and name != "screen"]
    names += ["told_bytes", "data_lines", "least_tokens", "finished", "held"]
    found: list[Any] = []
    for chunk in chunks:
        given = meter.feed(chunk)
        found.append((given, [getattr(meter, name) for name in names]))
    return found, meter.finish(), [getattr(meter, name) for name in names]


@pytest.mark.parametrize("name", STREAMS)
def test_plain_events_need_no_other_reader(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = [chunk for chunk in STREAMS[name] if chunk != COMMENT + DONE]
    witness = told(GeneralMeter, chunks, (), 1 << 20)
    monkeypatch.setattr(StreamMeter, "_read_one", None)
    assert told(StreamMeter, chunks, (), 1 << 20) == witness
    assert witness[-1]


@pytest.mark.parametrize("name", STREAMS)
def test_bytes_that_differ_are_read_alike(name: str) -> None:
    chance = random.Random(seed(14))
    for _ in range(count(8_000, 0.05)):
        chunks = [*STREAMS[name]]
        for _ in range(chance.choice((1, 1, 2, 3))):
            n = chance.randrange(len(chunks))
            one = chunks[n]
            start = chance.randrange(len(one) + 1)
            chunks[n] = one[:start] + chance.choice(OTHERS) + one[start + chance.choice((0, 0, 1, 1, 4)) :]
        paths = chance.choice(((), (), (), (("usage", "cost"),)))
        most = chance.choice((1 << 20, 1 << 20, 300))
        assert told(StreamMeter, chunks, paths, most) == told(GeneralMeter, chunks, paths, most), chunks


@pytest.mark.parametrize("name", STREAMS)
def test_values_that_differ_are_read_alike(name: str) -> None:
    chance = random.Random(seed(15))
    values: list[Any] = [None, True, 0, 1, -1, 2**53 + 1, 0.5, "", "x", "stop", [], {}, [1], {"a": 1}, {"content": "x"}]
    for _ in range(count(4_000, 0.1)):
        chunks = []
        for chunk in STREAMS[name]:
            events = [chunk]
            if chunk.startswith(HEAD) and chunk.count(b"\n\n") == 1:
                message = orjson.loads(chunk[6:])
                place: Any = message
                while chance.random() < 0.8 and (
                    inner := [
                        one
                        for one in (place.values() if isinstance(place, dict) else place)
                        if one and isinstance(one, dict | list)
                    ]
                ):
                    place = chance.choice(inner)
                if chance.random() < 0.5:
                    place[chance.choice([*place] if isinstance(place, dict) else range(len(place)))] = chance.choice(
                        values
                    )
                events = [b"data: " + orjson.dumps(message) + b"\n\n"]
            chunks += events
        assert told(StreamMeter, chunks, (), 1 << 20) == told(GeneralMeter, chunks, (), 1 << 20), chunks


def test_a_usage_that_is_not_plain_is_read_all_the_same() -> None:
    more = b',"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":9}'  # the total is not the sum
    _, _, found = told(StreamMeter, [say(TEXT), say(EMPTY, b'"stop"', more) + DONE], (), 1 << 20)
    assert found == told(GeneralMeter, [say(TEXT), say(EMPTY, b'"stop"', more) + DONE], (), 1 << 20)[2]
    assert usage_of(found).input_tokens == 3


def test_a_usage_elsewhere_is_read_all_the_same() -> None:
    more = b',"x_groq":{"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}'
    _, _, found = told(StreamMeter, [say(TEXT), say(EMPTY, b'"stop"', more) + DONE], (), 1 << 20)
    assert usage_of(found).input_tokens == 3


def usage_of(found: list[Any]) -> Usage:
    [usage] = [one for one in found if isinstance(one, Usage)]
    return usage
