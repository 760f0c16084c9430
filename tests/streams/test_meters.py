"""Whatever a stream is made of and wherever it is cut, a meter passes all of it on, and holds only the true end."""

import orjson
from hypothesis import given, settings

from proxy.wire.endpoint import ENDPOINTS, Meter
from tests.streams.drawn import ENDPOINTS as NAMES
from tests.streams.drawn import Drawn, contents, ends_at, streams
from tests.support.sampling import count

MAKE = {endpoint.name: endpoint.meter for endpoint in ENDPOINTS}


def meter_of(endpoint: str, *, hide: bool = False) -> Meter:
    make = MAKE[endpoint]
    assert make is not None
    return make(hide)


def run(meter: Meter, pieces: list[bytes]) -> bytes:
    """Do with a meter as the relay does; returns all that the client gets."""
    out = b""
    for piece in pieces:
        out += meter.feed(piece)
        if meter.goes_on:
            out += meter.release()
    return out + meter.finish() + meter.held


@settings(max_examples=count(1000, 0.2), deadline=None)
@given(streams())
def test_bytes_out_are_bytes_in(drawn: Drawn) -> None:
    assert run(meter_of(drawn.endpoint), drawn.pieces) == drawn.stream


@settings(max_examples=count(1000, 0.2), deadline=None)
@given(streams())
def test_nothing_is_held_but_the_end(drawn: Drawn) -> None:
    """What came has gone out, up to the line that ends the stream; a quote of it never is one."""
    meter, end = meter_of(drawn.endpoint), ends_at(drawn.endpoint, drawn.stream)
    came = given_bytes = 0
    for piece in drawn.pieces:
        given_bytes += len(meter.feed(piece))
        came += len(piece)
        if not meter.done:
            assert given_bytes == came
            continue
        # Of a line or an event that came in pieces the first have gone, never more than the pieces before its end.
        assert end >= 0
        assert given_bytes >= len(drawn.stream[:end].rstrip(b"\r\n"))  # empty lines are the begin of the next event
        assert given_bytes < came
        break
    meter.finish()
    assert meter.done == (end >= 0)


@settings(max_examples=count(1000, 0.2), deadline=None)
@given(streams(("chat/completions", "completions")))
def test_hiding_does_not_depend_on_the_cuts(drawn: Drawn) -> None:
    """What is left is the same bytes; where there was no usage they are all of them."""
    whole = run(meter_of(drawn.endpoint, hide=True), [drawn.stream])
    assert run(meter_of(drawn.endpoint, hide=True), drawn.pieces) == whole
    if b'"usage"' not in drawn.stream:
        assert whole == drawn.stream


def test_a_quote_of_the_end_in_each_piece() -> None:
    """The shortest way to see it: the quote of a terminal cut at any place, and byte by byte."""
    for endpoint in NAMES:
        for text in ("say data: [DONE] to end", '{"type":"message_stop"}', '{"type":"response.completed"}'):
            stream = b"".join(_event(contents(endpoint, word)) for word in (text, " and", " more"))
            cuts = [[stream[:at], stream[at:]] for at in range(1, len(stream))]
            for pieces in [*cuts, [stream[at : at + 1] for at in range(len(stream))]]:
                meter = meter_of(endpoint)
                assert b"".join([meter.feed(piece) for piece in pieces]) == stream
                assert not meter.done


def test_content_behind_the_end_goes_on() -> None:
    """What was held is released and nothing is held again; a trailer that says nothing stays held."""
    for endpoint in NAMES:
        end = {"responses": b'data: {"type":"response.completed","response":{}}\n\n'}.get(endpoint, b"data: [DONE]\n\n")
        if endpoint == "messages":
            end = b'data: {"type":"message_stop"}\n\n'
        say = _event(contents(endpoint, "x"))
        for hide in (False, True):
            meter = meter_of(endpoint, hide=hide)
            assert meter.feed(say + end) == say
            assert meter.feed(b": comment\n\n" + end) == b""
            assert (meter.done, meter.goes_on) == (True, False)
            assert meter.feed(say) == b""
            assert meter.goes_on
            assert meter.release() == end + b": comment\n\n" + end + say
            assert meter.feed(say + end + say) == say + end + say
            assert meter.held == b""


def _event(message: dict[str, object]) -> bytes:
    return b"data: " + orjson.dumps(message) + b"\n\n"
