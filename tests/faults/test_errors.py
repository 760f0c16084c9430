"""U10 to U14: the provider says that it failed. Its words are passed on; its web pages are not."""

import email.utils
import json
import time
from collections.abc import Callable

import openai
import pytest

from tests.faults.conftest import Open
from tests.faults.place import Place, clean
from tests.faults.raw_upstream import Close, Turn
from tests.faults.seen import BOTH, KINDS, raised, refused
from tests.faults.told import COMMENT, DONE, END, Told, chunk, error, event, head, plain

COST_PUSD = 4_000_000
RAISED = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    408: openai.APIStatusError,
    413: openai.APIStatusError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
}


PROVE_NOTHING = {408, 502, 504, 524}


async def unless_proven(place: Place, provider: str, status: int) -> tuple[object, ...]:
    """Give what is booked for a status: nothing, or the worst case where somebody on the way only gave up waiting."""
    if status not in PROVE_NOTHING:
        return ("released", 0, "none", None)
    row = await place.booked()
    flags = "answer_failed usage_missing" if status == 502 else "usage_missing"
    return ("settled", row["reserved_pusd"], "reservation" if provider == "openrouter" else "estimate", flags)


def failing(told: Told, *, usage: bool) -> list[bytes]:
    """Give a stream that fails after two words, in the shape of OpenRouter's documentation."""
    bill = told.usage_text() if usage else None
    failed = told.piece(finish="error", usage=bill, error={"code": 502, "message": "Provider disconnected"})
    return [COMMENT, *told.content()[:2], failed, DONE]


@pytest.mark.parametrize("usage", [True, False])
async def test_u10_an_error_in_the_middle_of_a_stream(opened: Open, usage: bool) -> None:
    """Passed on byte for byte. With a bill in it the cost is that, else it is looked up."""
    place = await opened()
    told = Told("gen-failed", COST_PUSD)
    events = failing(told, usage=usage)
    place.upstream.next(Turn((told.stream(events) + END,), {told.id: COST_PUSD}))
    answer = clean(await place.chat(stream=True))
    assert (answer.status, answer.end, answer.body) == (200, "complete", b"".join(events))
    source = "provider" if usage else "generation"
    assert await place.figures() == ("settled", COST_PUSD, source, None, "upstream_error", 200)
    assert (await place.booked())["outcomes"] == ["upstream_error"]
    await place.works()


async def test_u10_at_a_provider_without_records(opened: Open) -> None:
    place = await opened()
    told = Told("chatcmpl-1", 1, cost=None)
    events = [*told.content()[:2], event(error("server_error", "The server had an error"))]
    place.upstream.next(Turn((told.stream(events) + END,)))
    answer = clean(await place.chat("plain", stream=True))
    assert answer.body == b"".join(events)
    row = await place.booked()
    assert (row["cost_pusd"], row["cost_source"], row["error"]) == (row["reserved_pusd"], "estimate", "upstream_error")
    await place.works("plain")


async def test_u10_an_error_instead_of_content(opened: Open) -> None:
    """Nothing came and the provider has no record of it: it is free, as OpenRouter promises for empty answers."""
    place = await opened()
    told = Told("gen-nothing", COST_PUSD)
    events = [COMMENT, told.piece(finish="error", error={"code": 502, "message": "Nothing came"})]
    place.upstream.next(Turn((told.stream(events) + END,)))
    answer = clean(await place.chat(stream=True))
    assert answer.body == b"".join(events)
    assert (await place.figures())[:4] == ("released", 0, "none", "answer_failed usage_missing")
    await place.works()


async def test_u10_the_sdk_raises_it(opened: Open) -> None:
    place = await opened()
    told = Told("gen-failed", COST_PUSD)
    events = [*told.content()[:2], event(error(502, "Provider disconnected"))]
    place.upstream.next(Turn((told.stream(events) + END,), {told.id: COST_PUSD}))
    found = await raised(place, "openrouter", stream=True)
    assert (type(found), found.message) == (openai.APIError, "Provider disconnected")
    assert (await place.figures())[:3] == ("settled", COST_PUSD, "generation")
    await place.works()


@KINDS
@BOTH
async def test_u11_an_error_under_200(opened: Open, provider: str, stream: bool) -> None:
    """It was not billed: there is nothing in it that could be."""
    place = await opened()
    sent = json.dumps(error(502, "Upstream failed", metadata={"provider_name": "OpenAI"})).encode()
    place.upstream.next(Turn((plain(sent),)))
    answer = clean(await place.chat(provider, stream=stream))
    assert (answer.status, answer.body, answer.content_type) == (200, sent, "application/json")
    assert await place.figures() == ("released", 0, "none", None, "upstream_error", 200)
    await place.works(provider)


async def test_u11_an_error_under_200_with_a_generation(opened: Open) -> None:
    """It may have been billed: the provider is asked."""
    place = await opened()
    failed = error(502, "Upstream failed", metadata={"provider_name": "OpenAI"})  # free, were it not for the id
    sent = json.dumps({"id": "gen-failed", **failed}).encode()
    place.upstream.next(Turn((plain(sent),), {"gen-failed": COST_PUSD}))
    answer = clean(await place.chat())
    assert (answer.status, answer.body) == (200, sent)
    assert (await place.figures())[:3] == ("settled", COST_PUSD, "generation")
    await place.works()


def http_date(after_s: float) -> str:
    return email.utils.formatdate(time.time() + after_s, usegmt=True)


RETRY_AFTER: dict[str, tuple[list[str], str | None]] = {  # headers, and the Retry-After that the client gets
    "none": ([], None),
    "seconds": (["Retry-After: 7"], "7"),
    "zero": (["Retry-After: 0"], "0"),
    "huge": (["Retry-After: 86400"], "60"),
    "very huge": ([f"Retry-After: {'9' * 40}"], "60"),
    "milliseconds": (["retry-after-ms: 1500", "Retry-After: 2"], "2"),
}
ODD_RETRY_AFTER: dict[str, Callable[[], str]] = {
    "negative": lambda: "-5",
    "fraction": lambda: "9.5",
    "words": lambda: "soon",
    "NaN": lambda: "NaN",
    "infinite": lambda: "Infinity",
    "date": lambda: http_date(20),
    "date of yesterday": lambda: http_date(-86_400),
    "date of tomorrow": lambda: http_date(86_400),
}
TO_BE_WAITED = {"fraction", "date", "date of tomorrow"}


@KINDS
@pytest.mark.parametrize("case", RETRY_AFTER)
async def test_u12_too_many_requests(opened: Open, provider: str, case: str) -> None:
    place = await opened()
    lines, told_s = RETRY_AFTER[case]
    sent = json.dumps(error(429, "Rate limited")).encode()
    for stream in (False, True):
        place.upstream.next(Turn((plain(sent, *lines, status=429),)))
        answer = clean(await place.chat(provider, stream=stream))
        assert (answer.status, answer.body) == (429, sent)
        assert answer.header("Retry-After") == told_s
        assert await place.figures() == ("released", 0, "none", None, "upstream_error", 429)
        place.app.health.forget()  # else the key is not asked before its time
    place.upstream.next(Turn((plain(sent, *lines, status=429),)))
    assert isinstance(await raised(place, provider, stream=False), openai.RateLimitError)
    assert len(place.upstream.chats()) == 3
    place.app.health.forget()
    await place.works(provider)


@pytest.mark.parametrize("case", ODD_RETRY_AFTER)
async def test_u12_a_wait_that_is_no_number(opened: Open, case: str) -> None:
    """Whatever it is, nobody is told to wait for more than a minute; what is no time is not waited for either."""
    place = await opened()
    place.upstream.next(Turn((plain(error(429), f"Retry-After: {ODD_RETRY_AFTER[case]()}", status=429),)))
    answer = clean(await place.chat())
    assert answer.status == 429
    told = [value for name, value in answer.headers if name.lower() == "retry-after"]
    assert len(told) <= 1
    assert not told or not told[0].isdigit() or int(told[0]) <= 60
    assert await place.figures() == ("released", 0, "none", None, "upstream_error", 429)
    following = await place.chat()
    if following.status == 429:  # its time is not over: not asked
        assert case in TO_BE_WAITED
        refused(following, 429, "upstream_rate_limited")
        assert 0 < int(following.header("Retry-After") or 0) <= 60
        assert len(place.upstream.chats()) == 1
    else:
        assert following.status == 200
    await place.works("plain")


@KINDS
@BOTH
@pytest.mark.parametrize("status", [400, 403, 404, 408, 413, 422])
async def test_u13_refused(opened: Open, provider: str, stream: bool, status: int) -> None:
    """The provider's own words under its own status, and the class of exception that they stand for."""
    place = await opened()
    sent = json.dumps(error(status, "No endpoints found", metadata={"raw": "ü"})).encode()
    place.upstream.next(Turn((plain(sent, status=status),)), Turn((plain(sent, status=status),)))
    answer = clean(await place.chat(provider, stream=stream))
    assert (answer.status, answer.body) == (status, sent)
    assert await place.figures() == (*await unless_proven(place, provider, status), "upstream_error", status)
    found = await raised(place, provider, stream=stream)
    assert type(found) is RAISED[status]
    assert len(place.upstream.chats()) == 2
    await place.works(provider)


@KINDS
@BOTH
@pytest.mark.parametrize("html", [False, True])
async def test_u13_the_operators_key_or_account(opened: Open, provider: str, stream: bool, html: bool) -> None:
    """The caller's token is fine, and the provider's text would say otherwise: ours stands instead of it."""
    place = await opened()
    for status, told in ((401, (502, "upstream_auth")), (402, (402, "upstream_no_credits"))):
        text = b"<html>User not found</html>" if html else json.dumps(error(status, "User not found")).encode()
        place.upstream.next(Turn((plain(text, status=status),)))
        answer = await place.chat(provider, stream=stream)
        refused(answer, *told)
        assert answer.header("x-should-retry") == "false"
        assert b"User not found" not in answer.body
        assert await place.figures() == ("released", 0, "none", None, told[1], told[0])
    assert len(place.upstream.chats()) == 2
    await place.works(provider)


PAGE = b"<html><head><title>502</title></head><body>cf-error secret-of-the-page</body></html>"


@KINDS
@pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 521, 522, 523, 524, 525, 526, 527, 529])
async def test_u14_a_web_page(opened: Open, provider: str, status: int) -> None:
    """The status is the provider's, the JSON ours; nothing of the page is in it."""
    place = await opened()
    for stream in (False, True):
        place.upstream.next(Turn((plain(PAGE, status=status, type_="text/html"),)))
        answer = await place.chat(provider, stream=stream)
        refused(answer, status, "upstream_error")
        assert b"page" not in answer.body
        assert b"<" not in answer.body
        assert await place.figures() == (*await unless_proven(place, provider, status), "upstream_error", status)
    place.upstream.next(Turn((plain(PAGE, status=status, type_="text/html"),)))
    assert type(await raised(place, provider, stream=True)) is openai.InternalServerError
    assert len(place.upstream.chats()) == 3
    await place.works(provider)


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 500 Oops\r\nContent-Length: 900\r\n\r\n<html>",
        b"HTTP/1.1 503 Oops\r\nContent-Length: 0\r\n\r\n",
        head(502, "Transfer-Encoding: chunked", "Content-Type: application/json") + chunk(b'{"error": {"mess'),
        head(500, "Content-Type: application/json", "Content-Length: 2") + b"[]",
    ],
    ids=["page cut off", "empty", "JSON cut off", "an array"],
)
async def test_u14_hardly_a_page(opened: Open, sent: bytes) -> None:
    place = await opened()
    for stream in (False, True):
        place.upstream.next(Turn((sent, Close())))
        status = int(sent[9:12])
        refused(await place.chat(stream=stream), status, "upstream_error")
        assert (await place.figures())[:4] == await unless_proven(place, "openrouter", status)
    await place.works()


async def test_u14_a_failure_in_json(opened: Open) -> None:
    """What is JSON is passed on as it came."""
    place = await opened()
    sent = b'{"error": {"message": "Internal Server Error",  "code": 500}}\n'
    place.upstream.next(Turn((plain(sent, status=500),)))
    answer = clean(await place.chat())
    assert (answer.status, answer.body) == (500, sent)
    assert await place.figures() == ("released", 0, "none", None, "upstream_error", 500)
    await place.works()
