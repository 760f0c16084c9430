"""The splitter finds the same events however the bytes are cut; OpenAI's SDK reads what the proxy writes."""

import httpx2
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk

from proxy.wire.sse import (
    KEEP_ALIVE,
    EventSplitter,
    begun_line,
    data_spans,
    error_event,
    find_done,
    split_events,
    whole_as_events,
)

LINE_ENDS = [b"\n", b"\r\n", b"\r"]
lines = st.sampled_from([b"", b"data: {}", b": x", b"data: \xff", b"id: 1", b"data:", b"\xef\xbb\xbfdata: [DONE]"])


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    return b"".join(draw(st.lists(st.builds(lambda a, b: a + b, lines, st.sampled_from(LINE_ENDS)), max_size=12)))


@st.composite
def chunked_streams(draw: st.DrawFn) -> list[bytes]:
    rest, chunks = draw(streams()), []
    while rest:
        size = draw(st.integers(1, 12))
        chunks.append(rest[:size])
        rest = rest[size:]
    return chunks


def meaning(text: bytes) -> list[list[bytes]]:
    """Give the data lines of each event by the letter of the standard, line by line."""
    events: list[list[bytes]] = [[]]
    for line in text.splitlines():
        if not line:
            events.append([])
        elif line.removeprefix(b"\xef\xbb\xbf").startswith(b"data:"):
            events[-1].append(line.removeprefix(b"\xef\xbb\xbf")[5:].removeprefix(b" "))
    return [event for event in events if event]


def read(event: bytes) -> list[bytes]:
    return [event[slice(*span)] for span in data_spans(event)]


@settings(deadline=None)
@given(chunked_streams(), st.sampled_from([1, 5, 20, 1000]))
def test_nothing_is_lost_and_whole_events_come_out(chunks: list[bytes], most: int) -> None:
    splitter = EventSplitter(most)
    out = b""
    events: list[bytes] = []
    for chunk in chunks:
        ended, whole, begun = splitter.feed(chunk)
        out += ended + whole + begun
        events += split_events(whole)
        assert len(splitter._pending) <= most
    rest = splitter.finish()
    assert out + rest == b"".join(chunks)
    if not splitter.oversized:
        found = [data for event in [*events, *split_events(rest)] if (data := read(event))]
        assert found == meaning(b"".join(chunks))


@given(streams())
def test_events_split_and_read_as_the_standard_says(text: bytes) -> None:
    events = list(split_events(text))
    assert b"".join(events) == text
    assert [data for event in events if (data := read(event))] == meaning(text)


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n", b"\r\n\n"])
def test_an_oversized_event_passes_and_the_next_is_read(end: bytes) -> None:
    text = b"data: " + b"x" * 50 + end + b"data: y" + end
    for size in range(1, len(text)):
        splitter = EventSplitter(20)
        passed, whole = b"", b""
        for i in range(0, len(text), size):
            ended, events, begun = splitter.feed(text[i : i + size])
            passed, whole = passed + ended + begun, whole + events
        assert (passed + whole + splitter.finish()).replace(b"\n", b"").endswith(b"data: y" + end.replace(b"\n", b""))
        assert b"data: y" in whole
        assert splitter.is_between_events


def test_an_event_that_comes_byte_by_byte_costs_time_in_proportion() -> None:
    splitter = EventSplitter(10**9)
    for _ in range(300_000):  # with a copy of what is pending each time this would move 45 GB
        splitter.feed(b"x")
    assert len(splitter.finish()) == 300_000


DONE_LINES = [
    b"data: [DONE]",
    b"data:[DONE]",
    b"\xef\xbb\xbfdata: [DONE]",
    b"x\ndata: [DONE]",
    b"x\r\n\r\ndata: [DONE]",
    b"\rdata: [DONE]",
]


@pytest.mark.parametrize("text", DONE_LINES)
def test_the_end_is_found_wherever_it_is_cut(text: bytes) -> None:
    whole = find_done(text)
    assert whole == max(text.rfind(b"\n"), text.rfind(b"\r")) + 1
    for at in range(1, len(text)):
        line = begun_line(text[:at])
        assert find_done(line + text[at:]) + at - len(line) == whole


@pytest.mark.parametrize(
    "text",
    [
        *(b"xdata: [DONE]", b"data:  [DONE]", b'data: "[DONE]"', b" data: [DONE]", b"[DONE]", b": data: [DONE]"),
        b'data: {"choices":[{"delta":{"content":"it ends with data: [DONE]"}}]}',
        b'\ndata: {"x":"data: [DONE] data: [DONE]"',
        b"\xef\xbb\xbf\xef\xbb\xbfdata: [DONE]",
    ],
)
def test_what_looks_like_the_end_is_not(text: bytes) -> None:
    assert find_done(text) == -1
    for at in range(1, len(text)):
        assert find_done(begun_line(text[:at]) + text[at:]) == -1
    line = b""
    for at in range(len(text)):  # byte by byte
        assert find_done(line + text[at : at + 1]) == -1
        line = begun_line(line + text[at : at + 1])


def test_openai_raises_the_error_event() -> None:
    body = KEEP_ALIVE + error_event("upstream_auth", 'OpenRouter refused "team".\n', "provider_error", "req_1")
    with openai.OpenAI(api_key="x", base_url="http://127.0.0.1:9") as client:
        response = httpx2.Response(200, content=body, request=httpx2.Request("POST", "http://127.0.0.1:9"))
        stream = openai.Stream(cast_to=ChatCompletionChunk, response=response, client=client)
        with pytest.raises(openai.APIError) as caught:
            list(stream)
    assert caught.value.message == 'OpenRouter refused "team".\n'
    assert (caught.value.code, caught.value.type, caught.value.param) == (
        "upstream_auth",
        "provider_error",
        None,
    )


@pytest.mark.parametrize("name", [b"error", b"choices"])
def test_an_answer_nested_deeper_than_can_be_written_is_none(name: bytes) -> None:
    deep = b'{"a":' * 300 + b"1" + b"}" * 300
    assert whole_as_events(b'{"%b":[%b]}' % (name, deep)) == b""
