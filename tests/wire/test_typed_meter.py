"""Streams of responses and messages: bytes pass unchanged however they are cut, and the meter reads the same."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.counts import Counts
from proxy.wire.endpoint import MESSAGES, RESPONSES, Meter
from proxy.wire.messages import MessagesMeter, message_error_event
from proxy.wire.responses import ResponsesMeter, response_error_event
from proxy.wire.typed_meter import TypedMeter
from proxy.wire.usage import ExtraCounts, Usage
from tests.support.sampling import count, drawn

CANARY = "Kanarienvogel"
ENDS = (b"\n", b"\r\n", b"\r")
MONEY: dict[str, Any] = {
    "cost": orjson.Fragment("0.000123456789012"),
    "is_byok": False,
    "cost_details": {"upstream_inference_cost": 0.1},
}


def stream(events: list[dict[str, Any]], *, named: bool, end: bytes = b"\n", done: bool = False) -> bytes:
    """Write events as OpenAI and Anthropic do (named) or as OpenRouter does."""
    pieces = []
    for event in events:
        lines = [b"event: " + event["type"].encode()] if named else []
        pieces.append(end.join([*lines, b"data: " + orjson.dumps(event)]) + end * 2)
    if done:
        pieces.append(b"data: [DONE]" + end * 2)
    return b"".join(pieces)


def response(status: str, **fields: Any) -> dict[str, Any]:
    head = {"id": "gen-1-x", "object": "response", "created_at": 1_793_539_200, "model": "openai/gpt-4o-mini"}
    return {**head, "status": status, "error": None, "incomplete_details": None, "output": [], "usage": None, **fields}


def responses_usage(**more: Any) -> dict[str, Any]:
    return {
        "input_tokens": 1200,
        "input_tokens_details": {"cached_tokens": 800},
        "output_tokens": 80,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 1280,
        **more,
    }


MESSAGE_ITEM = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "x"}],
}
CALL_ITEM = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "weather", "arguments": "{}"}


def responses_events(last: dict[str, Any]) -> list[dict[str, Any]]:
    begun = response("in_progress")
    return [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "content": []}},
        {"type": "response.output_text.delta", "delta": CANARY, "logprobs": []},
        {"type": "response.output_text.delta", "delta": ' "response.completed" \u00e9\U0001f600'},
        {"type": "response.output_text.done", "text": "x"},
        last,
    ]


COMPLETED = {
    "type": "response.completed",
    "response": response("completed", output=[MESSAGE_ITEM], usage=responses_usage(**MONEY)),
}


def message_events(stop: str = "end_turn", **delta_usage: Any) -> list[dict[str, Any]]:
    usage = {
        "input_tokens": 300,
        "cache_read_input_tokens": 800,
        "cache_creation_input_tokens": 100,
        "output_tokens": 1,
    }
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-4.5", "provider": "Anthropic"}
    block = {"type": "text", "text": ""}
    return [
        {"type": "message_start", "message": {**head, "content": [], "usage": {**usage, "cost": 0.5}}},
        {"type": "ping"},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": CANARY}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": ' "message_stop" '}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 80, **delta_usage}},
        {"type": "message_stop"},
    ]


RESPONSES_USAGE = Usage(1200, 80, 800, 2, 123456790, False, None, False, 100_000_000_000)
WRITTEN = ExtraCounts(Counts(cache_write_tokens=100), untold_life_tokens=100)
MESSAGES_USAGE = Usage(1200, 80, 800, None, 123456790, False, None, False, 100_000_000_000, WRITTEN)

CASES: dict[str, tuple[type[TypedMeter], bytes, Usage | None, str | None]] = {}
for _end, _named in itertools.product(ENDS, (True, False)):
    _name = f"{_end!r}-{'named' if _named else 'bare'}"
    CASES[f"responses-{_name}"] = (
        ResponsesMeter,
        b": \n\n" + stream(responses_events(COMPLETED), named=_named, end=_end, done=not _named),
        RESPONSES_USAGE,
        "stop",
    )
    CASES[f"messages-{_name}"] = (
        MessagesMeter,
        stream(message_events(**MONEY), named=_named, end=_end),
        MESSAGES_USAGE,
        "stop",
    )


def said(meter: Meter) -> dict[str, Any]:
    names = (
        *(
            "generation_id",
            "model",
            "provider",
            "finish_reason",
            "usage",
            "usage_is_last",
            "usage_is_whole",
            "error_seen",
            "error_code",
        ),
        *("error_type", "content_seen", "done", "oversized"),
    )
    return {name: getattr(meter, name) for name in names}


def run(meter: Meter, chunks: Iterator[bytes] | list[bytes]) -> bytes:
    given = b"".join([meter.feed(chunk) for chunk in chunks])
    return given + meter.finish()


def last_event_at(data: bytes, kind: bytes) -> int:
    """Give where the event begins that ends the stream."""
    at = data.rfind(b'{"type":"' + kind)
    return max(data.rfind(b"data: ", 0, at), data.rfind(b"event: ", 0, at))


@pytest.mark.parametrize("name", CASES)
def test_whole(name: str) -> None:
    make, data, usage, finish_reason = CASES[name]
    meter = make()
    given = run(meter, [data])
    assert given + meter.held == data
    kind = b"response.completed" if make is ResponsesMeter else b"message_stop"
    assert len(given) <= last_event_at(data, kind)
    assert (meter.usage, meter.usage_is_last, meter.finish_reason) == (usage, True, finish_reason)
    assert meter.done
    assert meter.content_seen
    assert not meter.error_seen
    assert meter.generation_id in ("gen-1-x", "msg_1")
    assert meter.data_lines == data.count(b"data: ")


@pytest.mark.parametrize("name", CASES)
def test_every_cut_in_two(name: str) -> None:
    """What is given, what is held and what is read does not depend on where a chunk ends."""
    make, data, _, _ = CASES[name]
    whole = make()
    run(whole, [data])
    kind = b"response.completed" if make is ResponsesMeter else b"message_stop"
    begins_at = last_event_at(data, kind)
    end = next(end for end in (b"\r\n", b"\n", b"\r") if end in data[begins_at:]) * 2
    ends_at = data.index(end, begins_at) + len(end)
    for at in drawn(range(len(data)), 0.2, "cuts"):
        meter = make()
        given = run(meter, [data[:at], data[at:]])
        assert given + meter.held == data
        assert said(meter) == said(whole)
        assert len(given) < ends_at, "the end of the last event is what clients act on"


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(sorted(CASES)), data=st.data())
def test_any_cuts(name: str, data: st.DataObject) -> None:
    make, body, _, _ = CASES[name]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=40)))
    chunks = [body[a:b] for a, b in itertools.pairwise([0, *cuts, len(body)])]
    meter, whole = make(), make()
    given = run(meter, [chunk for chunk in chunks if chunk])
    run(whole, [body])
    assert given + meter.held == body
    assert said(meter) == said(whole)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)
KEYS = st.sampled_from(
    ["type", "response", "message", "usage", "error", "delta", "id", "model", "output", "status", "content", "object"]
)
KINDS = st.sampled_from(
    [
        *("response.created", "response.completed", "response.failed", "response.output_text.delta", "error"),
        *("message_start", "message_delta", "content_block_start", "message_stop", "message"),
    ]
)
ODD_EVENTS = st.dictionaries(KEYS, JSON | st.dictionaries(KEYS, JSON, max_size=4), max_size=5)


@settings(max_examples=count(500, 0.2), deadline=None)
@given(
    events=st.lists(st.tuples(ODD_EVENTS, KINDS), max_size=6),
    raw=st.binary(max_size=30),
    make=st.sampled_from([ResponsesMeter, MessagesMeter]),
    cut=st.integers(1, 60),
)
def test_odd_streams(
    events: list[tuple[dict[str, Any], str]], raw: bytes, make: Callable[[], TypedMeter], cut: int
) -> None:
    """Whatever a provider sends passes byte for byte, and nothing is raised."""
    body = stream([{**event, "type": kind} for event, kind in events], named=False) + raw
    meter = make()
    given = run(meter, [body[at : at + cut] for at in range(0, len(body), cut)])
    assert given + meter.held == body


@pytest.mark.parametrize(
    ("last", "finish_reason", "error"),
    [
        ({"status": "completed", "output": [CALL_ITEM]}, "tool_calls", None),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length", None),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filter", None),
        ({"status": "failed", "error": {"code": "server_error", "message": CANARY}}, "error", "server_error"),
        ({"status": "failed", "error": {"code": 502, "message": CANARY}}, "error", "502"),
    ],
)
def test_how_a_response_ends(last: dict[str, Any], finish_reason: str, error: str | None) -> None:
    """By whichever event it ends, the usage in it is the last word; the same in one piece."""
    whole = response(**{**last, "usage": responses_usage(cost=0.000168)})
    meter = ResponsesMeter()
    run(meter, [stream(responses_events({"type": f"response.{last['status']}", "response": whole}), named=True)])
    read = RESPONSES.read(orjson.dumps(whole))
    assert read is not None
    assert read.finish_reason == meter.finish_reason == finish_reason
    assert read.error_code == meter.error_code == error
    assert read.error_seen is meter.error_seen is (error is not None)
    assert read.usage == meter.usage == Usage(1200, 80, 800, 2, 168_000_000, True, None, None, None)
    assert meter.done
    assert meter.usage_is_last
    assert CANARY not in repr(said(meter))


@pytest.mark.parametrize("named", [True, False])
def test_an_error_event(named: bool) -> None:
    """Of both shapes; what it says is never kept."""
    events = [
        *responses_events(COMPLETED)[:4],
        {"type": "error", "code": "rate_limit", "message": CANARY, "param": None},
    ]
    meter: TypedMeter = ResponsesMeter()
    data = stream(events, named=named)
    assert run(meter, [data]) == data
    assert (meter.error_seen, meter.error_code, meter.done, meter.usage) == (True, "rate_limit", False, None)
    meter = MessagesMeter()
    error = {"type": "error", "error": {"type": "overloaded_error", "message": CANARY}}
    data = stream([*message_events()[:4], error], named=named)
    assert run(meter, [data]) == data
    assert (meter.error_seen, meter.error_type, meter.done) == (True, "overloaded_error", False)
    assert not meter.usage_is_last  # what message_start counted is not what it cost
    assert CANARY not in repr(said(meter))


@pytest.mark.parametrize(
    ("stop", "finish_reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("pause_turn", "pause_turn"),
    ],
)
def test_how_a_message_ends(stop: str, finish_reason: str) -> None:
    meter = MessagesMeter()
    run(meter, [stream(message_events(stop), named=True)])
    assert meter.finish_reason == finish_reason
    assert meter.usage == Usage(1200, 80, 800, None, None, True, None, None, None, WRITTEN)
    whole = {
        "type": "message",
        "id": "m",
        "model": "x",
        "content": [{"type": "text"}],
        "stop_reason": stop,
        "usage": {},
    }
    read = MESSAGES.read(orjson.dumps(whole))
    assert read is not None
    assert (read.finish_reason, read.has_choices, read.usage) == (finish_reason, True, None)


def test_counts_of_a_message_are_laid_over_each_other() -> None:
    """What message_delta says again counts, what it leaves out holds, and a cost on the way is no cost."""
    meter = MessagesMeter()
    run(meter, [stream(message_events(input_tokens=500, cache_read_input_tokens=None), named=True)])
    assert meter.usage == Usage(1400, 80, 800, None, None, True, None, None, None, WRITTEN)


def test_byok() -> None:
    """The provider's bill comes on top of the fee, in each shape."""
    money: dict[str, Any] = {"cost": 0.25, "is_byok": True, "cost_details": {"upstream_inference_cost": 1.5}}
    meter: TypedMeter = MessagesMeter()
    run(meter, [stream(message_events(**money), named=True)])
    assert meter.usage is not None
    assert (meter.usage.cost_pusd, meter.usage.upstream_pusd) == (1_750_000_000_000, 1_500_000_000_000)
    meter = ResponsesMeter()
    last = {"type": "response.completed", "response": response("completed", usage=responses_usage(**money))}
    run(meter, [stream(responses_events(last), named=False)])
    assert meter.usage is not None
    assert (meter.usage.cost_pusd, meter.usage.upstream_pusd) == (1_750_000_000_000, 1_500_000_000_000)


def test_one_piece_where_a_stream_was_asked_for() -> None:
    whole = orjson.dumps(response("completed", output=[MESSAGE_ITEM], usage=responses_usage(cost=0.5)))
    meter: TypedMeter = ResponsesMeter()
    assert run(meter, [whole]) == whole
    assert (meter.usage_is_last, meter.done, meter.finish_reason) == (True, True, "stop")
    error = orjson.dumps({"error": {"code": 502, "message": CANARY}})
    meter = ResponsesMeter()
    assert run(meter, [error]) == error
    assert (meter.error_seen, meter.error_code) == (True, "502")


def test_an_event_too_large_to_keep() -> None:
    """It passes unread, and what follows is read again."""
    events = message_events(**MONEY)
    events.insert(4, {"type": "content_block_delta", "index": 0, "delta": {"text": "x" * 3000}})
    data = stream(events, named=True)
    for cut in (1, 7, 500, 4000):
        meter = MessagesMeter(max_event_bytes=1000)
        given = run(meter, [data[at : at + cut] for at in range(0, len(data), cut)])
        assert given + meter.held == data
        assert (meter.oversized, meter.usage, meter.done) == (True, MESSAGES_USAGE, True)


def test_our_own_error_events() -> None:
    """They end the stream in the words of each shape, and a meter reads them as an error."""
    event = response_error_event("upstream_broken", "It broke.", "provider_error", "req_1", "gen-1-x")
    body = orjson.loads(event.partition(b"data: ")[2])
    assert (body["type"], body["response"]["id"], body["response"]["status"]) == (
        "response.failed",
        "gen-1-x",
        "failed",
    )
    assert body["error"]["message"] == body["response"]["error"]["message"] == "It broke."
    meter: TypedMeter = ResponsesMeter()
    run(meter, [event])
    assert (meter.error_seen, meter.error_code) == (True, "upstream_broken")
    event = message_error_event("upstream_broken", "It broke.", "provider_error", "req_1", None)
    assert event.startswith(b"event: error\ndata: ")
    meter = MessagesMeter()
    run(meter, [event])
    assert (meter.error_seen, meter.error_type) == (True, "api_error")
