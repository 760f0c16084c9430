"""What real programs send a little differently, and is the same request all the same."""

from collections.abc import AsyncIterator

import orjson
import pytest
import pytest_asyncio

from tests.support.installation import token_of
from tests.support.raw import exchange, request_bytes
from tests.support.stand import CHAT, MESSAGES, MODEL, Stand
from tests.support.stand import stand as run_stand

BODY = orjson.dumps({"model": MODEL, "messages": MESSAGES})
TOKEN = token_of("anna")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=[True, False], ids=["lane", "general"])
async def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    more = {"server": {"fast_path": request.param}, "users": {"anna": {"limits": {"cost": "$5/day"}}}}
    async with run_stand(tmp_path_factory.mktemp("trifles"), more) as found:
        yield found


@pytest.mark.parametrize(
    "headers",
    [
        [("Authorization", f"bearer {TOKEN}")],
        [("Authorization", f"BEARER   {TOKEN}")],
        [("Authorization", f"Bearer Bearer {TOKEN}")],
        [("Authorization", TOKEN)],
        [("x-api-key", TOKEN)],
        [("api-key", TOKEN)],
        [("x-goog-api-key", TOKEN)],
        [("Authorization", f"Bearer {TOKEN}"), ("x-api-key", TOKEN)],
        [("Authorization", "Bearer dummy"), ("x-api-key", TOKEN)],
        [("Authorization", f"Bearer {TOKEN}"), ("api-key", "sk-something-else")],
    ],
    ids=str,
)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_token(shared: Stand, headers: list[tuple[str, str]]) -> None:
    got = await exchange(shared.port, request_bytes("POST", CHAT, BODY, headers=headers))
    assert got.status == 200, got.body


@pytest.mark.parametrize("type_", [None, "", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded"])
@pytest.mark.asyncio(loop_scope="module")
async def test_a_type(shared: Stand, type_: str | None) -> None:
    """Curl -d names a form, fetch() a text, and some programs nothing; what the provider gets says JSON."""
    line = "" if type_ is None else f"Content-Type: {type_}\r\n"
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n{line}"
    await shared.sim.forget_requests()
    got = await exchange(shared.port, f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY)
    assert got.status == 200, got.body
    (sent,) = await shared.sim.requests()
    assert dict(sent["headers"])["Content-Type"] == "application/json"


@pytest.mark.asyncio(loop_scope="module")
async def test_a_byte_order_mark(shared: Stand) -> None:
    for text in (b"First", b"Second", b"Third"):  # also where they have all but a text in common
        body = BODY.replace(MESSAGES[0]["content"].encode(), text)
        got = await exchange(shared.port, request_bytes("POST", CHAT, b"\xef\xbb\xbf" + body, token=TOKEN))
        assert got.status == 200, got.body


@pytest.mark.asyncio(loop_scope="module")
async def test_scores_of_a_prompt(shared: Stand) -> None:
    """max_tokens and best_of of 0 travel as they came, also where a limit on cost holds."""
    body = {"model": MODEL, "prompt": "Hello", "max_tokens": 0, "best_of": 0, "echo": True, "logprobs": 1}
    await shared.sim.forget_requests()
    got = await shared.ask("POST", "/v1/completions", body)
    assert got.status == 200, got.body
    (sent,) = await shared.sim.requests("/completions")
    assert {name: orjson.loads(sent["body"])[name] for name in ("max_tokens", "best_of", "echo")} == {
        "max_tokens": 0,
        "best_of": 0,
        "echo": True,
    }, got.body
