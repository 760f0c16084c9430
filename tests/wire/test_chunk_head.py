"""How a chunk of HTTP/1.1 begins, and which reads are whole ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.chunk_head import CHUNK_HEAD_BYTES, NO_SPAN, are_chunks, chunk_shapes, chunk_spans, payload_of


def chunk(payload: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(payload), payload)


@pytest.mark.parametrize("size_bytes", [0, 1, 15, 16, 17, 255, 256, 4095, 4096, 70_000])
def test_places(size_bytes: int) -> None:
    """Two digits or three tell a size; a payload of one digit is no event, and a longer one is looked at closely."""
    framed = chunk(b"b" * 6 + b"x" * (size_bytes - 10) + b"e" * 4) if size_bytes >= 10 else chunk(b"x" * size_bytes)
    payload_at, text_at, text_end, end, told_bytes = chunk_spans[6, 4, 4095][framed[:CHUNK_HEAD_BYTES]]
    if 16 <= size_bytes <= 4095:
        assert framed[payload_at:text_at] == b"b" * 6
        assert framed[text_at:text_end] == b"x" * (size_bytes - 10)
        assert framed[text_end:end] == b"eeee\r\n"
        assert (told_bytes, end) == (size_bytes, len(framed))
    else:
        assert (payload_at, text_at, text_end, end, told_bytes) == NO_SPAN


@pytest.mark.parametrize("known", [(0, 0, 4095), (6, 4, 4095), (10, 6, 15), (10, 7, 4095), (100, 200, 2048)])
@pytest.mark.parametrize("size_bytes", [1, 15, 16, 17, 18, 255, 256, 257, 299, 300, 2048, 2049, 4095, 4096, 70_000])
def test_a_chunk_that_is_a_read_has_the_same_places(known: tuple[int, int, int], size_bytes: int) -> None:
    framed = chunk(bytes(97 + n % 26 for n in range(size_bytes)))
    for read in (framed, framed[:-1], framed + b"x", framed[1:]):
        pieces, first_line, told_bytes = chunk_shapes[known][len(read)]
        line, before, text, behind = pieces(read)
        span = chunk_spans[known][read[:CHUNK_HEAD_BYTES]]
        assert (line == first_line) is (span != NO_SPAN and span[3] == len(read)), read
        if line == first_line:
            payload_at, text_at, text_end, _, size = span
            assert (before, text, behind) == (read[payload_at:text_at], read[text_at:text_end], read[text_end:])
            assert told_bytes == size == size_bytes


@given(st.integers(1, 300), st.sampled_from((b"", b"0\r\n\r\n", b"1\r\nx\r\n", b"0\r\n", b"0")), st.integers(0, 4))
def test_one_chunk_and_perhaps_the_last(size_bytes: int, more: bytes, less: int) -> None:
    payload = b"x" * size_bytes
    read = chunk(payload) + more
    whole = payload_of(read) if size_bytes >= 16 and not less else None
    expected = (payload, bool(more)) if more in (b"", b"0\r\n\r\n") and size_bytes >= 16 and not less else None
    assert whole == expected
    if less:
        assert payload_of(read[less:]) is None


@pytest.mark.parametrize(
    "begin", [b"", b"1", b"10", b"10\r", b"010\r\n", b"0A\r\n", b"1F\r\nd", b" 1f\r\n", b"+1\r\nd"]
)
def test_what_tells_no_size(begin: bytes) -> None:
    assert chunk_spans[1, 1, 4095][begin] == NO_SPAN


def test_what_is_known_must_fit_in() -> None:
    assert chunk_spans[10, 6, 4095][b"10\r\nd"] == (4, 14, 14, 22, 16)
    assert chunk_spans[10, 7, 4095][b"10\r\nd"] == NO_SPAN
    assert chunk_spans[10, 6, 15][b"10\r\nd"] == NO_SPAN


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=4), st.binary(max_size=3))
def test_whole_chunks(payloads: list[bytes], more: bytes) -> None:
    read = b"".join(map(chunk, payloads))
    assert are_chunks(read, payloads) is (len(payloads[0]) > 1 and b"\r" not in payloads[0])
    assert not more or not are_chunks(read + more, payloads)
    assert not are_chunks(read[1:], payloads)


def test_framing_within_a_payload_passes_for_none() -> None:
    """A payload that goes on over the end of a read, where it looks as if a chunk ended, has not ended."""
    parts = b"fa\r\n" * 63, b"\r\n", b"fa\r\n"
    rest = chunk(b"1\r\n1")[3:-2] + b"\r\n1\r\n"
    for whole in (b"".join(parts), rest):
        head_bytes = whole.find(b"\r\n") + 2
        assert not are_chunks(whole, [whole[: len(whole) - head_bytes - 2]])
