"""The contract of a dialect: whatever form a provider speaks, the parts above hear the client's endpoint alone."""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pytest

from proxy.core.secret import Secret
from proxy.policy.key_ring import KeyFacts
from proxy.providers.dialect import Dialect, TranslationError
from proxy.providers.key import NO_KEY, Key
from proxy.providers.translated import TranslatedResponse
from proxy.providers.transport.base import ChunkPassage, Take, TransportError, UpstreamResponse, read_to
from proxy.wire.answer_text import AnswerText
from proxy.wire.endpoint import CHAT, ENDPOINTS, Endpoint, Meter
from proxy.wire.error import error_of_body
from proxy.wire.headers import header_lines, pick_response_headers
from proxy.wire.parsed_answer import read_message
from proxy.wire.usage import Usage, with_cost
from tests.contracts.dialect_cases import CASES, INPUT, OUTPUT, TEXT, DialectCase

SECRET = "sk-of-the-contract-0123456789"
KEY = Key(KeyFacts("main"), Secret(SECRET))
BODY: dict[str, Any] = {
    "model": "asked/for",
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Grüße"}],
    "max_tokens": 9,
    "temperature": 0.5,
}


class CutResponse:
    """A provider's answer that comes in the given pieces."""

    def __init__(self, content_type: str, pieces: Iterable[bytes], status: int = 200) -> None:
        self.status = status
        self.headers: Sequence[tuple[str, str]] = (("content-type", content_type), ("x-request-id", "r1"))
        self.awaits_content = False
        self.is_aborted = False
        self._pieces: Iterator[bytes] = iter(pieces)

    def header(self, name: str) -> str | None:
        return dict(self.headers).get(name)

    def passed(self, secret: str) -> dict[str, str]:
        return dict(pick_response_headers(self.headers, secret))

    def passed_lines(self, secret: str) -> str:
        return header_lines(self.passed(secret))

    @property
    def is_read(self) -> bool:
        return False

    @property
    def is_at_hand(self) -> bool:
        return True

    def whole(self) -> bytes | None:
        return None

    async def read(self) -> bytes:
        if self.is_aborted:
            raise TransportError("broken", "ended here", dispatched=True)
        return next(self._pieces, b"")

    async def pump(self, take: Take, passage: ChunkPassage | None = None) -> bool:  # noqa: ARG002 - no chunks
        return await read_to(self, take)

    def abort(self) -> None:
        self.is_aborted = True


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> DialectCase:
    return CASES[request.param]


@pytest.fixture(params=[name for name, case in CASES.items() if case.make().translator is not None])
def foreign(request: pytest.FixtureRequest) -> DialectCase:
    """Return a case whose answers are translated."""
    return CASES[request.param]


def as_read(dialect: Dialect, answer: CutResponse) -> tuple[UpstreamResponse, Any]:
    """Return the answer as the relays read it, with its translator."""
    if dialect.translator is None:
        return answer, None
    translator = dialect.translator(CHAT)
    return TranslatedResponse(answer, translator), translator


def usage_of(translator: Any, heard: Usage | None) -> Usage | None:
    """Return the usage that is booked: the dialect's own reading goes before the endpoint's."""
    return heard if translator is None or translator.usage is None else translator.usage


async def stream_of(case: DialectCase, pieces: Iterable[bytes]) -> tuple[bytes, str | None, Meter, Usage | None]:
    """Return what a client gets of a stream, its text, and what the meter heard."""
    dialect = case.make()
    answer, translator = as_read(dialect, CutResponse(case.stream_type, pieces))
    assert answer.header("content-type") == "text/event-stream"
    assert answer.header("x-request-id") == "r1"
    assert CHAT.meter is not None
    meter, text, passed = CHAT.meter(False), AnswerText(10_000), bytearray()
    meter.cost_paths = dialect.cost_paths

    def take(piece: bytes) -> bool:
        text.feed(piece)
        passed.extend(meter.feed(piece))
        return True

    while not await answer.pump(take):
        pass
    passed.extend(meter.finish())
    text.finish()
    return bytes(passed) + meter.held, text.text, meter, usage_of(translator, meter.usage)


def counted(usage: Usage | None) -> tuple[int | None, int | None, int | None]:
    assert usage is not None
    return usage.input_tokens, usage.output_tokens, usage.cost_pusd


def test_a_path_begins_with_a_slash(case: DialectCase) -> None:
    dialect = case.make()
    for endpoint in ENDPOINTS:
        for streamed in (False, True):
            assert dialect.path(endpoint, "a/b", streamed=streamed).startswith("/")
    assert dialect.list_paths
    assert all(path.startswith("/") for path in dialect.list_paths)


def test_the_key_stands_in_one_header(case: DialectCase) -> None:
    dialect = case.make()
    holding = [name for name, value in dialect.auth_headers(KEY).items() if SECRET in value]
    assert len(holding) == 1
    assert not dialect.auth_headers(NO_KEY)
    assert holding[0].lower() not in {name.lower() for name in dialect.headers({})}


@pytest.mark.parametrize("more", [{}, {"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}])
def test_a_prepared_body_keeps_what_the_client_sent(case: DialectCase, more: dict[str, Any]) -> None:
    """The model is put in, nothing else of the client's changes, and the body that was handed in stays as it was."""
    sent = {**BODY, **more}
    before = copy.deepcopy(sent)
    dialect = case.make()
    for endpoint in ENDPOINTS:
        prepared, is_hidden = dialect.prepare(sent, "the/model", endpoint)
        assert sent == before
        assert prepared["model"] == "the/model"
        assert {name: prepared[name] for name in sent if name not in ("model", "stream_options")} == {
            name: value for name, value in sent.items() if name not in ("model", "stream_options")
        }
        if is_hidden:  # only what the client did not ask for may be taken out
            assert more.get("stream") is True
            assert "stream_options" not in more


def test_a_translated_request_is_made_of_the_body_alone(foreign: DialectCase) -> None:
    dialect = foreign.make()
    assert dialect.translator is not None
    body = dialect.prepare(BODY, "the/model", CHAT)[0]
    before = copy.deepcopy(body)
    told = dialect.translator(CHAT).request(body)
    assert body == before
    for text in ("the/model", "Be brief.", "Grüße", "9"):
        assert text in str(told)


def test_an_endpoint_is_translated_or_refused(foreign: DialectCase) -> None:
    make = foreign.make().translator
    assert make is not None
    refusals = {endpoint.name: refusal for endpoint in ENDPOINTS if (refusal := refusal_of(make, endpoint)) is not None}
    assert CHAT.name not in refusals
    assert all(f"/{name}" in text for name, text in refusals.items())


def refusal_of(make: Callable[[Endpoint], object], endpoint: Endpoint) -> str | None:
    try:
        make(endpoint)
    except TranslationError as error:
        return str(error)
    return None


async def test_an_answer_in_one_piece(case: DialectCase) -> None:
    """However it arrives it says the same, and its usage and cost are exact."""
    pieces = [[case.whole], [case.whole[i : i + 1] for i in range(len(case.whole))]]
    for arriving in pieces:
        dialect = case.make()
        answer, translator = as_read(dialect, CutResponse(case.whole_type, arriving))
        body = b""
        while piece := await answer.read():
            body += piece
        assert answer.header("content-type") == "application/json"
        message = read_message(body)
        assert message is not None
        assert message["choices"][0]["message"]["content"] == TEXT
        told = CHAT.read(body)
        assert told is not None
        assert (told.has_choices, told.error_seen, told.finish_reason) == (True, False, "stop")
        usage = usage_of(translator, told.usage)
        if dialect.cost_paths and translator is None:
            usage = with_cost(usage, message, body, dialect.cost_paths)
        assert counted(usage) == (INPUT, OUTPUT, case.cost_pusd)
        if dialect.translator is None:
            assert body == case.whole


async def test_a_stream_cut_anywhere(case: DialectCase) -> None:
    """Cut in two at each byte and into single bytes: the client gets the same bytes, the meter hears the same."""
    stream = case.stream
    cuts = [[stream], [stream[i : i + 1] for i in range(len(stream))]]
    cuts += [[stream[:at], stream[at:]] for at in range(1, len(stream))]
    wanted = (await stream_of(case, cuts[0]))[0]
    for pieces in cuts:
        passed, text, meter, usage = await stream_of(case, pieces)
        assert passed == wanted
        assert text == TEXT
        assert counted(usage) == (INPUT, OUTPUT, case.cost_pusd)
        assert meter.usage is not None, "its place in the stream tells whether it is the last word"
        assert meter.usage_is_whole
        assert (meter.done, meter.finished, meter.error_seen, meter.finish_reason) == (True, True, False, "stop")
    if case.make().translator is None:
        assert wanted == stream


async def test_a_stream_that_ends_early_is_not_taken_for_whole(case: DialectCase) -> None:
    """Whatever is missing at its end: it breaks, or the meter knows that neither the end nor the usage came."""
    whole = (await stream_of(case, [case.stream]))[3]
    for at in range(len(case.stream)):
        try:
            _, _, meter, usage = await stream_of(case, [case.stream[:at]] if at else [])
        except TransportError:
            continue
        if not meter.done:
            assert usage is None or counted(usage) == counted(whole)
            assert meter.finished or usage is None


async def test_what_is_kept_back_at_the_end_is_not_lost(foreign: DialectCase) -> None:
    """A stream cut within its last word either breaks, or gives what was kept back: no end of its own is made up."""
    with pytest.raises(TransportError, match="cannot be translated"):
        await stream_of(foreign, [foreign.stream[:-1]])


async def test_an_error_within_a_stream(case: DialectCase) -> None:
    for at in range(1, len(case.failed_stream)):
        passed, text, meter, usage = await stream_of(case, [case.failed_stream[:at], case.failed_stream[at:]])
        assert meter.error_seen
        assert meter.error is not None
        assert meter.error["message"] == "Too busy."
        assert meter.error_code == "busy"
        assert not meter.done
        assert text == TEXT[:5]
        assert usage is None
        assert b"Too busy." in passed


@pytest.mark.parametrize("status", [400, 401, 429, 503])
async def test_the_body_of_a_refusal(case: DialectCase, status: int) -> None:
    """It is an error of the client's endpoint; a page of somebody on the way stays what it is."""
    page = b"<html>gone</html>"
    for body, is_own in ((case.error, True), (page, False)):
        dialect = case.make()
        answer, _ = as_read(dialect, CutResponse("text/html" if not is_own else case.whole_type, [body], status))
        assert answer.status == status
        found = b""
        while piece := await answer.read():
            found += piece
        if not is_own:
            assert found == page
            assert answer.header("content-type") == "text/html"
            continue
        assert answer.header("content-type") == "application/json"
        error = error_of_body(found)
        assert error is not None
        assert (error["message"], error["code"]) == ("Too busy.", "busy")


@pytest.mark.parametrize("garbage", [b"\xff\xfe\x00", b"{", b"\n\n\n", b"U:1,2\n", b"T:1\n", b"<html>\n", b"E:\xff\n"])
async def test_what_is_in_no_form_breaks_the_exchange(foreign: DialectCase, garbage: bytes) -> None:
    """It is an error of the way, never one of ours; and what cannot be read is not read on."""
    for content_type in (foreign.whole_type, foreign.stream_type):
        behind = CutResponse(content_type, [garbage, garbage])
        answer, _ = as_read(foreign.make(), behind)
        with pytest.raises(TransportError, match="cannot be translated"):
            await answer.pump(lambda _: True)
        assert behind.is_aborted
