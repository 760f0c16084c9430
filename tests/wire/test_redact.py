"""A key that a provider quotes in an error never goes out, however the error is cut; an answer's own text does."""

import itertools

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.secret import Secret
from proxy.policy.key_ring import KeyFacts
from proxy.providers.key import Key
from proxy.wire.endpoint import ENDPOINTS, Meter
from proxy.wire.headers import pick_response_headers
from proxy.wire.redact import HIDDEN, ErrorScreen, redacted
from tests.streams.drawn import ENDPOINTS as NAMES
from tests.streams.drawn import contents

KEY = b"sk-or-v1-c0ffee"
MAKE = {endpoint.name: endpoint.meter for endpoint in ENDPOINTS}
WORDS = f"Incorrect API key provided: {KEY.decode()}. Or {KEY.decode()}"
ERRORS = {
    "an object": {"error": {"code": 401, "message": WORDS}},
    "a text": {"error": WORDS},
    "beside a choice": {"choices": [{"index": 0, "delta": {"content": ""}}], "error": {"message": WORDS}},
    "a failed response": {"type": "response.failed", "response": {"status": "failed", "error": {"message": WORDS}}},
    "Anthropic's": {"type": "error", "error": {"type": "authentication_error", "message": WORDS}},
    "without the word": {"object": "error", "message": WORDS, "code": 401},
}


def meter_of(endpoint: str, *, hide: bool) -> Meter:
    make = MAKE[endpoint]
    assert make is not None
    meter = make(hide)
    meter.screen = ErrorScreen(KEY)
    return meter


def event(message: object, end: bytes = b"\n") -> bytes:
    return b"data: " + orjson.dumps(message) + end * 2


def run(meter: Meter, pieces: list[bytes]) -> bytes:
    given_back = b"".join([meter.feed(piece) for piece in pieces])
    return given_back + meter.finish() + meter.held


@pytest.mark.parametrize("endpoint", NAMES)
@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("hide", [False, True])
def test_an_error_never_tells_the_key(endpoint: str, kind: str, hide: bool) -> None:
    """Cut in two anywhere, and in pieces; all other bytes are as they came, the key in an answer's text among them."""
    if hide and endpoint in ("responses", "messages"):
        pytest.skip("usage comes unasked there")
    ahead = event(contents(endpoint, "hi")) + event(contents(endpoint, f"the key is {KEY.decode()}"))
    stream = ahead + event(ERRORS[kind]) + event(contents(endpoint, "b"))
    wanted = ahead + event(ERRORS[kind]).replace(KEY, HIDDEN) + event(contents(endpoint, "b"))
    halves = [[stream[:at], stream[at:]] for at in range(1, len(stream))]
    pieces = [[stream[at : at + size] for at in range(0, len(stream), size)] for size in (1, 3, 50)]
    cut = [*halves, *pieces] if kind != "without the word" else [[stream]]  # which can be told only when it is whole
    for chunks in cut:
        meter = meter_of(endpoint, hide=hide)
        assert run(meter, chunks) == wanted
        assert KEY.decode() not in repr(meter.error)


@pytest.mark.parametrize("endpoint", NAMES)
def test_an_error_that_does_not_end(endpoint: str) -> None:
    begun = event({"error": {"message": WORDS}})[:-9]
    for size in (1, 7, 500):
        out = run(meter_of(endpoint, hide=False), [begun[at : at + size] for at in range(0, len(begun), size)])
        assert KEY not in out
        assert out.startswith(b"data: {")


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from([b"data: {}\n\n", b'"error"', KEY, KEY[:5], b"\n\n", b"\r\n", b"data: ", b"x"]), max_size=12
    ),
    st.lists(st.integers(0, 120), max_size=10),
    st.sampled_from(NAMES),
)
def test_without_the_key_nothing_changes(parts: list[bytes], at: list[int], endpoint: str) -> None:
    """Whatever is held back on the way, all of it comes out, and only the key may be gone."""
    stream = b"".join(parts)
    edges = sorted({0, len(stream), *(cut for cut in at if cut < len(stream))})
    out = run(meter_of(endpoint, hide=False), [stream[a:b] for a, b in itertools.pairwise(edges)])
    assert out.replace(HIDDEN, KEY) == stream


def test_bodies_and_headers() -> None:
    assert redacted(b"no " + KEY, KEY) == b"no [key]"
    assert redacted(b"no key", b"") == b"no key"
    headers = [("x-ratelimit-key", f"for {KEY.decode()}"), ("x-openrouter-x", "y"), ("retry-after", "1")]
    assert pick_response_headers(headers, KEY.decode()) == [("x-openrouter-x", "y"), ("retry-after", "1")]
    assert len(pick_response_headers(headers)) == 3


def test_a_key_that_is_a_part_of_words_is_no_secret() -> None:
    """Local servers are given any key: "k" must not be taken out of "unknown parameter max_tokens"."""
    assert Key(KeyFacts("main"), Secret("k")).quoted_bytes == b""
    assert Key(KeyFacts("main"), Secret("sk-12345")).quoted_bytes == b"sk-12345"
