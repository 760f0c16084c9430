"""Every behaviour of the simulator, asked directly and through the proxy: the answers are equal byte for byte.

Where they differ on purpose, EXCEPTIONS says how and why; a behaviour that is not in it must be equal.
"""

import json
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from proxy.simulator.behaviour import NAMED_BEHAVIOURS
from tests.support.installation import OPENAI_KEY, PROVIDER_KEY
from tests.support.raw import Answer, Client, connect, request_bytes
from tests.support.stand import CHAT, MESSAGES, Stand
from tests.support.stand import stand as run_stand

pytestmark = pytest.mark.asyncio(loop_scope="module")

_SILENCE_S = 0.5  # behaviours that hang do so for ever; what came in this time is all that comes

Check = Callable[[Answer, Answer], None]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=[True, False], ids=["lane", "general"])
async def stand(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    short = {"header_timeout_s": 1, "idle_timeout_s": 1}
    folder = tmp_path_factory.mktemp("transparent")
    async with run_stand(
        folder, {"server": {"fast_path": request.param}, "providers": {"openrouter": short, "plain": short}}
    ) as found:
        yield found


# --- what may differ


HUGE_RETRY_AFTER = "86400000"


def equal(direct: Answer, got: Answer) -> None:
    _equal_but_for_the_wait(direct, got)
    if direct.header("retry-after") != HUGE_RETRY_AFTER:  # lowered to a minute: tests/pipeline/test_retry_after.py
        assert got.header("retry-after") == direct.header("retry-after")


def _equal_but_for_the_wait(direct: Answer, got: Answer) -> None:
    assert (got.status, got.content_type, got.body, got.end) == (
        direct.status,
        direct.content_type,
        direct.body,
        direct.end,
    )
    for name in ("x-generation-id", "content-encoding", "x-ratelimit-reset"):
        assert got.header(name) == direct.header(name)


def told_to_wait(seconds: str) -> Check:
    """What the provider says only in its body, or by the reset of a limit, SDKs are told by the header they read."""

    def check(direct: Answer, got: Answer) -> None:
        _equal_but_for_the_wait(direct, got)
        assert (direct.header("retry-after"), got.header("retry-after")) == (None, seconds)

    return check


def _ours(got: Answer, status: int, code: str) -> None:
    assert (got.status, got.content_type, got.end) == (status, "application/json", "complete")
    body = got.json()
    assert set(body) == {"error", "request_id"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["code"] == code
    assert body["request_id"] == got.header("x-request-id")


def replaced(status: int, code: str) -> Check:
    """The whole answer is an error of the proxy's own."""

    def check(_direct: Answer, got: Answer) -> None:
        _ours(got, status, code)

    return check


def page(direct: Answer, got: Answer) -> None:
    """A page for browsers becomes JSON under the same status; nothing of it is repeated."""
    _ours(got, direct.status, "upstream_error")
    assert b"<" not in got.body


def unpacked(direct: Answer, got: Answer) -> None:
    """The request asked for no compression; what comes compressed all the same is undone."""
    wbits = 31 if direct.header("Content-Encoding") == "gzip" else 15
    assert (got.status, got.content_type, got.end) == (direct.status, direct.content_type, "complete")
    assert got.body == zlib.decompress(direct.body, wbits)
    assert got.header("Content-Encoding") is None


def not_packed(direct: Answer, got: Answer) -> None:
    """The header that is not true is left out."""
    assert (got.status, got.content_type, got.body) == (direct.status, direct.content_type, direct.body)
    assert direct.header("Content-Encoding") == "gzip"
    assert got.header("Content-Encoding") is None


def continued(code: str) -> Check:
    """A stream that broke off: what came, then one event with an error, which SDKs raise."""

    def check(direct: Answer, got: Answer) -> None:
        assert (got.status, got.content_type, got.end) == (direct.status, direct.content_type, "complete")
        assert got.body.startswith(direct.body)
        gap, mark, event = got.body[len(direct.body) :].partition(b"data: ")
        assert (gap in (b"", b"\n\n"), mark) == (True, b"data: ")
        assert not direct.body or (direct.body + gap).endswith(b"\n\n")
        error = json.loads(event)
        assert event.endswith(b"\n\n")
        assert error["error"]["code"] == code
        assert error["request_id"] == got.header("x-request-id")

    return check


def ended(direct: Answer, got: Answer) -> None:
    """Nothing but the end of the connection was missing: finish reason and usage had come."""
    assert (got.status, got.content_type, got.body) == (direct.status, direct.content_type, direct.body)
    assert got.end == "complete"


_AUTH = (replaced(502, "upstream_auth"),) * 2  # it is the operator's key, and the caller's token is fine
_CREDITS = (replaced(402, "upstream_no_credits"),) * 2  # would read as the caller's own budget
_PAGE = (page,) * 2
_NOTHING_CAME = (replaced(502, "upstream_broken"),) * 2
_SILENCE = (replaced(504, "upstream_timeout"),) * 2
_CUT = (replaced(502, "upstream_broken"), continued("upstream_broken"))  # a part is never passed off as the whole
_STUCK = (replaced(504, "upstream_timeout"), continued("upstream_timeout"))
_CUT_AT_THE_END = (replaced(502, "upstream_broken"), ended)
_NO_STREAM = (equal, continued("upstream_broken"))  # no event came at all where a stream was asked for

EXCEPTIONS: dict[str, tuple[Check, Check]] = {  # name -> (plain, streamed)
    "gzip": (unpacked, unpacked),
    "deflate": (unpacked, unpacked),
    "lying-content-encoding": (not_packed, not_packed),
    "rst-before-headers": _NOTHING_CAME,
    "fin-before-headers": _NOTHING_CAME,
    "hang-before-headers": _SILENCE,
    "fin-in-headers": _NOTHING_CAME,
    "rst-in-headers": _NOTHING_CAME,
    "no-http": _NOTHING_CAME,
    "two-content-lengths": _NOTHING_CAME,  # no two parsers agree on where it ends
    "nul-in-header": _NOTHING_CAME,
    "rst-after-headers": _CUT,
    "fin-after-headers": _CUT,
    "rst-after-3-chunks": _CUT,
    "fin-after-3-chunks": _CUT,
    "rst-after-100-bytes": _CUT,
    "fin-after-100-bytes": _CUT,
    "rst-before-usage": _CUT,
    "fin-before-usage": _CUT,
    "short-content-length": _CUT,
    "rst-after-usage": _CUT_AT_THE_END,
    "fin-after-usage": _CUT_AT_THE_END,
    "hang-after-headers": _STUCK,
    "hang-after-3-chunks": _STUCK,
    "retry-after-none": (told_to_wait("12"),) * 2,  # retry_after_seconds of its metadata
    "redirect": (replaced(502, "upstream_redirect"),) * 2,  # the key goes to the configured host only
    "empty-200": _NO_STREAM,
    "not-json": _NO_STREAM,
    "json-null": _NO_STREAM,
    "error-no-auth": _AUTH,
    "error-no-cookie-auth": _AUTH,
    "error-user-not-found": _AUTH,
    "error-missing-header": _AUTH,
    "error-credits-fewer-max-tokens": _CREDITS,
    "error-credits-insufficient": _CREDITS,
    "error-credits-never-purchased": _CREDITS,
    "error-in-flight-budget": _CREDITS,
    "error-weight-exceeds-budget": _CREDITS,
    "error-edge-timeout": _PAGE,
    "error-html-403": _PAGE,
    "error-html-500": _PAGE,
    "error-html-502": _PAGE,
    "error-html-503": _PAGE,
    "error-html-520": _PAGE,
}


def held_back(code: str) -> Check:
    """As continued(), but of an event that had only begun nothing was given: usage may have been in it."""

    def check(direct: Answer, got: Answer) -> None:
        whole = direct.body[: direct.body.rfind(b"\n\n") + 2] if b"\n\n" in direct.body else b""
        continued(code)(Answer(direct.status, direct.headers, whole), got)

    return check


def without_done(check: Check) -> Check:
    """Asked directly there was no usage to break off at, so that the stream came to its end."""

    def checked(direct: Answer, got: Answer) -> None:
        check(Answer(direct.status, direct.headers, direct.body.removesuffix(b"data: [DONE]\n\n")), got)

    return checked


def renumbered(direct: Answer, got: Answer) -> None:
    """The chunk that was taken out had a number too."""
    assert got.body == direct.body.replace(b"id: 17\ndata: [DONE]", b"id: 18\ndata: [DONE]")


def one_chunk_more(direct: Answer, got: Answer) -> None:
    """A chunk without choices whose usage is null may tell something else: without "usage" it passes."""
    before, done, _ = direct.body.partition(b"data: [DONE]\n\n")
    assert got.body.startswith(before)
    assert got.body.endswith(done)
    chunk = json.loads(got.body[len(before) : -len(done)].removeprefix(b"data: "))
    assert chunk["choices"] == []
    assert "usage" not in chunk


_CAME_WHOLE = (equal, continued("upstream_broken"), continued("upstream_broken"))  # Content-Length said so
_RESETS_SOON = (told_to_wait("1"),) * 3  # x-ratelimit-reset-requests: 6ms
_HELD_BACK = (replaced(502, "upstream_broken"), held_back("upstream_broken"), continued("upstream_broken"))

# name -> (plain, streamed and usage hidden, streamed and usage asked for)
OPENAI_EXCEPTIONS: dict[str, tuple[Check, Check, Check]] = {
    **{name: (plain, stream, stream) for name, (plain, stream) in EXCEPTIONS.items()},
    "rst-after-3-chunks": _CAME_WHOLE,
    "fin-after-3-chunks": _CAME_WHOLE,
    "hang-after-3-chunks": (equal, continued("upstream_timeout"), continued("upstream_timeout")),
    "rst-after-100-bytes": _HELD_BACK,
    "fin-after-100-bytes": _HELD_BACK,
    "short-content-length": _HELD_BACK,
    "rst-before-usage": (_CUT[0], without_done(_CUT[1]), _CUT[1]),
    "fin-before-usage": (_CUT[0], without_done(_CUT[1]), _CUT[1]),
    "rst-after-usage": (_CUT[0], without_done(ended), ended),
    "fin-after-usage": (_CUT[0], without_done(ended), ended),
    "not-json": (equal, held_back("upstream_broken"), continued("upstream_broken")),
    "json-null": (equal, held_back("upstream_broken"), continued("upstream_broken")),
    "id-lines": (equal, renumbered, equal),
    "usage-null": (equal, one_chunk_more, equal),
    "retry-after-none": _RESETS_SOON,
    "error-free-per-day": _RESETS_SOON,
    "error-free-per-minute": _RESETS_SOON,
    "error-high-demand": _RESETS_SOON,
}


# --- asking


async def _read(client: Client) -> Answer:
    return await client.read_answer(patience_s=_SILENCE_S)


async def directly(stand: Stand, body: dict[str, Any], api: str, key: str) -> Answer:
    await stand.reset()
    async with await connect(stand.sim.port) as client:
        await client.send(request_bytes("POST", f"{api}/chat/completions", body, token=key))
        return await _read(client)


async def through(stand: Stand, body: dict[str, Any]) -> Answer:
    await stand.reset()
    return await stand.ask("POST", CHAT, body)


async def booked(stand: Stand, got: Answer) -> None:
    """The request has exactly one row, it has ended, and a cost that the provider told is the provider's."""
    id_ = got.header("x-request-id")
    (row,) = [row for row in await stand.rows() if row["request_id"] == id_]
    assert row["state"] != "open"
    assert row["attempts"] == 1
    if row["requested_model"].endswith("sim/usage-absurd"):  # its cost is made up, and stands in no books
        assert (row["cost_pusd"], row["cost_source"]) == (168_000_000, "provider")
    elif row["cost_source"] == "provider":
        (generation,) = (await stand.sim.books())["generations"].values()
        assert row["cost_pusd"] == generation["charged_pusd"]


async def test_the_exceptions_exist() -> None:
    assert set(EXCEPTIONS) <= set(OPENAI_EXCEPTIONS) <= set(NAMED_BEHAVIOURS)


@pytest.mark.sampled(0.2)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("name", NAMED_BEHAVIOURS)
async def test_openrouter(stand: Stand, name: str, stream: bool) -> None:
    body = {"model": f"sim/{name}", "messages": MESSAGES, "stream": stream}
    direct = await directly(stand, body, "/api/v1", PROVIDER_KEY)
    got = await through(stand, body)
    EXCEPTIONS.get(name, (equal, equal))[stream](direct, got)
    assert got.header("set-cookie") is None
    await booked(stand, got)


# Left out: an answer that is whole by its Content-Length, after which the simulator never answers again there.
_OPENAI_CASES = [
    (name, asks)
    for name in NAMED_BEHAVIOURS
    for asks in ("plain", "stream", "usage")
    if (name, asks) != ("hang-after-3-chunks", "plain")
]


@pytest.mark.sampled(0.2)
@pytest.mark.parametrize(("name", "asks"), _OPENAI_CASES)
async def test_openai(stand: Stand, name: str, asks: str) -> None:
    """Usage that only the proxy asked for is hidden; usage that the client asked for comes as it is."""
    body: dict[str, Any] = {"messages": MESSAGES, "stream": asks != "plain"}
    if asks == "usage":
        body["stream_options"] = {"include_usage": True}
    direct = await directly(stand, {"model": f"sim/{name}", **body}, "/openai/v1", OPENAI_KEY)
    got = await through(stand, {"model": f"plain/sim/{name}", **body})
    OPENAI_EXCEPTIONS.get(name, (equal,) * 3)[["plain", "stream", "usage"].index(asks)](direct, got)
    (sent,) = await stand.sim.requests()
    asked = json.loads(sent["body"])
    assert asked.get("stream_options") == (None if asks == "plain" else {"include_usage": True})
    assert "usage" not in asked
    await booked(stand, got)
