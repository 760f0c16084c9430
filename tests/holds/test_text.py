"""What others write is made text that a row can hold, or is refused by name; nobody is locked out by it."""

import json
from collections.abc import Awaitable, Callable

import pytest

from tests.holds.test_every_step import nothing_is_held
from tests.quotas.place import Place, body_of, error_of, user
from tests.support.installation import token_of
from tests.support.raw import Answer, exchange
from tests.support.stand import CHAT, MODEL

Open = Callable[..., Awaitable[Place]]
LIMITED = {"users": {"anna": user("anna", limits={"cost": "$1/day", "concurrency": 3})}, "limits": {"cost": "$1/day"}}

LATIN_1 = "Malmö".encode("latin-1")
UTF_8 = "Malmö".encode()


async def send(place: Place, header: bytes, value: bytes, *, lane: bool, path: str = CHAT) -> Answer:
    """Send a chat with one header of bytes; lane False: by a head that only aiohttp reads."""
    body = json.dumps(body_of()).encode()
    head = [
        f"POST {path} HTTP/1.1".encode(),
        b"Host: 127.0.0.1",
        f"Authorization: Bearer {token_of('anna')}".encode(),
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(body),
        header + b": " + value,
        *([] if lane else [b"Expect: 100-continue"]),
    ]
    return await exchange(place.app.port, b"\r\n".join([*head, b"", body]))


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "aiohttp"])
@pytest.mark.parametrize("value", [LATIN_1, UTF_8], ids=["Latin-1", "UTF-8"])
@pytest.mark.parametrize(
    ("header", "column"),
    [
        (b"X-Tollkeeper-Use-Case", "use_case"),
        (b"session-id", "session_id"),
        (b"session_id", "session_id"),
        (b"X-OpenWebUI-Chat-Id", "session_id"),
        (b"X-Tollkeeper-Tags", "tags"),
    ],
)
async def test_a_header_in_either_encoding(opened: Open, header: bytes, column: str, value: bytes, lane: bool) -> None:
    place = await opened(LIMITED)
    sent = b"town=" + value if column == "tags" else value
    for _ in range(4):  # more than may run at once
        assert (await send(place, header, sent, lane=lane)).status == 200
    (found,) = {row[column] for row in place.rows()}
    assert found == ('{"town":"Malmö"}' if column == "tags" else "Malmö")
    await nothing_is_held(place)


async def test_text_of_a_body(opened: Open) -> None:
    """Controls are replaced, lengths are cut, and half a surrogate pair is no JSON."""
    place = await opened(LIMITED)
    odd = "a\x00b\x7fc\n" + "d" * 300
    answer = await place.chat(session_id=odd, metadata={odd: odd}, user=odd)
    assert answer.status == 200
    (row,) = place.rows()
    assert row["session_id"] == "a\ufffdb\ufffdc\ufffd" + "d" * 250
    assert {len(text) for text in json.loads(row["tags"]).values()} == {256}
    for field in ("session_id", "user", "model"):
        raw = json.dumps(body_of()).encode()[:-1] + f', "{field}": "\\ud800"}}'.encode()
        refused = await place.ask("anna", "POST", CHAT, raw)
        assert refused.status == 400, field
    await nothing_is_held(place)


_PLACES = ["id", "model", "provider", "choices.finish_reason", "error.code", "error.message"]


@pytest.mark.parametrize("text", ["\\ud800", "\\udc00x", "\\u0000", "\\u001b[2J", "ö" * 5000, "🌉"], ids=range(6))
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("where", _PLACES)
async def test_text_of_a_provider(opened: Open, where: str, stream: bool, text: str) -> None:
    """A paid answer gets to the client, and its row is whole."""
    place = await opened(LIMITED)
    usage = '"usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "cost": 0.001}'
    part = "delta" if stream else "message"
    fields = {"id": "gen-1", "model": MODEL, "provider": "OpenAI", "choices.finish_reason": "stop"}
    fields[where] = text
    body = (
        f'{{"id": "{fields["id"]}", "object": "chat.completion", "model": "{fields["model"]}",'
        f' "provider": "{fields["provider"]}", "choices": [{{"index": 0, "{part}": {{"role": "assistant",'
        f' "content": "hi"}}, "finish_reason": "{fields["choices.finish_reason"]}"}}], {usage}}}'
    )
    if where.startswith("error"):
        error = {"error.code": "bad", "error.message": "no"}
        error[where] = text
        body = f'{{"error": {{"code": "{error["error.code"]}", "message": "{error["error.message"]}"}}, {usage}}}'
    if stream:
        body = f"data: {body}\n\ndata: [DONE]\n\n"
    content_type = "text/event-stream" if stream else "application/json"
    await place.sim.behave("next", body=body, content_type=content_type)
    answer = await place.chat(stream=stream)
    assert answer.end == "complete"
    assert answer.status == 200 or where.startswith("error")
    await nothing_is_held(place)
    (row,) = place.rows()
    assert (row["state"], row["cost_pusd"]) == ("settled", 10**9)
    assert (await place.chat()).status == 200


async def test_an_amount_that_no_row_can_hold(opened: Open) -> None:
    place = await opened({"providers": {"plain": {"prices": {"*": {"input": "600", "output": "600"}}}}})
    refused = await place.chat(model="plain/dear", max_tokens=2**31, n=16)
    assert (refused.status, error_of(refused)["code"]) == (400, "amount_too_large")
    explained = await place.ask("anna", "POST", "/v1/explain", body_of(model="plain/dear", max_tokens=2**31, n=16))
    assert "amount_too_large" in explained.body.decode()
    await nothing_is_held(place)
    assert place.rows() == []
    assert (await place.chat()).status == 200
