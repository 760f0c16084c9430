"""Web pages of server.origins can read every answer, on both ways in; all others can read none."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.installation import settings, token_of, write_config
from tests.support.raw import Answer, connect, exchange, request_bytes
from tests.support.stand import CHAT, MESSAGES, MODEL, Stand
from tests.support.stand import stand as run_stand

pytestmark = pytest.mark.asyncio(loop_scope="module")
PAGE = "https://app.example.com"
PAGES = [PAGE, "app://obsidian.md", "http://localhost:5173", "vscode-webview://0f1e", "null"]
ORIGINS = [PAGE, "app://obsidian.md", "http://localhost:*", "vscode-webview://*", "null"]
GOOD = {"model": MODEL, "messages": MESSAGES}
EVIL = ["https://evil.example", "https://app.example.com.evil.example", "http://app.example.com", "app://obsidian.mdx"]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=[True, False], ids=["lane", "general"])
async def stand(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    more = {"server": {"fast_path": request.param, "origins": ORIGINS}}
    async with run_stand(tmp_path_factory.mktemp("cors"), more) as found:
        yield found


def _readable(got: Answer, page: str) -> None:
    """Check that a browser hands an answer to the page, with the headers that it needs."""
    names = [name.lower() for name, _ in got.headers]
    assert got.header("Access-Control-Allow-Origin") == page, got
    assert names.count("access-control-allow-origin") == 1
    exposed = {name.strip() for name in (got.header("Access-Control-Expose-Headers") or "").split(",")}
    assert {"x-request-id", "retry-after", "x-should-retry", "x-tollkeeper-cost-usd", "*"} <= exposed
    assert got.header("Vary") == "Origin"
    assert "access-control-allow-credentials" not in names


ANSWERS: dict[str, tuple[str, str, dict[str, Any] | None, str | None, int]] = {
    "plain": ("POST", CHAT, GOOD, "anna", 200),
    "stream": ("POST", CHAT, {**GOOD, "stream": True}, "anna", 200),
    "refused": ("POST", CHAT, {**GOOD, "max_tokens": "x"}, "anna", 400),
    "unknown model": ("GET", "/v1/models/nothing", None, "anna", 404),
    "no token": ("POST", CHAT, GOOD, None, 401),
    "wrong token": ("POST", "/v1/embeddings", GOOD, "nobody", 401),
    "models": ("GET", "/v1/models", None, "anna", 200),
    "key": ("GET", "/v1/key", None, "anna", 200),
    "other endpoint": ("POST", "/v1/messages", {**GOOD, "max_tokens": 9}, "anna", 200),
    "another spelling": ("POST", "/v1//chat/completions/", GOOD, "anna", 200),
    "no path": ("GET", "/v1/nothing", None, "anna", 404),
    "no method": ("PUT", CHAT, None, "anna", 405),
    "too large": ("POST", CHAT, {**GOOD, "x": "y" * (1 << 20)}, "anna", 200),
    "options": ("OPTIONS", CHAT, None, None, 204),
}


@pytest.mark.parametrize("case", ANSWERS.values(), ids=ANSWERS)
async def test_every_answer_can_be_read(stand: Stand, case: tuple[str, str, Any, str | None, int]) -> None:
    method, path, body, user, status = case
    token = None if user is None else token_of(user)
    for page in PAGES:
        data = request_bytes(method, path, body, token=token, headers=[("Origin", page)])
        got = await exchange(stand.port, data)
        assert (got.status, got.end) == (status, "complete"), got.body
        _readable(got, page)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("named", ["error-provider-error", "midstream-error-after-3", "rst-before-headers"])
async def test_failures_can_be_read(stand: Stand, named: str, stream: bool) -> None:
    await stand.sim.behave("all", named=named)
    got = await stand.chat({"stream": stream}, headers=[("Origin", PAGE)])
    await stand.reset()
    assert got.status >= 500 or named.startswith("midstream") or stream
    _readable(got, PAGE)


async def test_an_answer_that_is_given_twice(stand: Stand) -> None:
    """What is kept for an Idempotency-Key is the answer, not the page that asked first."""
    key = ("Idempotency-Key", "k1")
    first = await stand.chat(headers=[("Origin", PAGE), key])
    again = await stand.chat(headers=[("Origin", "null"), key])
    plain = await stand.chat(headers=[key])
    assert again.body == first.body or again.status == 409
    _readable(first, PAGE)
    _readable(again, "null")
    assert plain.header("Access-Control-Allow-Origin") is None


async def test_without_an_origin(stand: Stand) -> None:
    """A program gets none of it, but caches learn that pages get more."""
    for got in (
        await stand.chat(),
        await stand.ask("GET", "/v1/models"),
        await stand.ask("GET", "/v1/models", token=""),
    ):
        assert got.header("Access-Control-Allow-Origin") is None
        assert got.header("Vary") == "Origin"


async def test_pages_on_one_connection(stand: Stand) -> None:
    """What was worked out for one head does not go to the next."""
    async with await connect(stand.port) as client:
        for page in (PAGE, None, "null", EVIL[0], PAGE):
            headers = [] if page is None else [("Origin", page)]
            await client.send(request_bytes("POST", CHAT, GOOD, token=stand.token, headers=headers))
            got = await client.read_answer()
            allowed = page if page in PAGES else None
            assert got.header("Access-Control-Allow-Origin") == allowed
            assert got.status == (403 if page == EVIL[0] else 200)


def _preflight(path: str, page: str, *more: tuple[str, str]) -> bytes:
    asked = [("Origin", page), ("Access-Control-Request-Method", "POST"), *more]
    return request_bytes("OPTIONS", path, headers=asked)


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/v1//models/", "/api/v1/messages", "/v1/nothing"])
async def test_preflight(stand: Stand, path: str) -> None:
    """It needs no token, and says what the page may send; where there is nothing, the request itself is told so."""
    names = ("Access-Control-Request-Headers", 'authorization, Content-Type,x-stainless-os,,x tollkeeper,bad"name')
    for page in PAGES:
        got = await exchange(stand.port, _preflight(path, page, names))
        assert (got.status, got.body) == (204, b"")
        _readable(got, page)
        assert got.header("Access-Control-Allow-Headers") == "authorization, content-type, x-stainless-os"
        methods = got.header("Access-Control-Allow-Methods") or ""
        assert ("POST" if "models" not in path else "GET") in methods
        assert int(got.header("Access-Control-Max-Age") or 0) > 0
        assert got.header("Access-Control-Allow-Private-Network") is None


async def test_preflight_from_the_public_network(stand: Stand) -> None:
    got = await exchange(stand.port, _preflight(CHAT, PAGE, ("Access-Control-Request-Private-Network", "true")))
    assert got.header("Access-Control-Allow-Private-Network") == "true"
    assert "authorization" in (got.header("Access-Control-Allow-Headers") or "")


@pytest.mark.parametrize("page", EVIL)
async def test_other_pages(stand: Stand, page: str) -> None:
    """They are refused, read nothing, and the operator reads which one it was."""
    asked = request_bytes("POST", CHAT, GOOD, token=stand.token, headers=[("Origin", page)])
    for data in (_preflight(CHAT, page), asked, request_bytes("GET", "/v1/models", headers=[("Origin", page)])):
        got = await exchange(stand.port, data)
        assert (got.status, got.json()["error"]["code"]) == (403, "origin_not_allowed")
        assert f'"{page}"' in got.json()["error"]["message"]
        assert not [name for name, _ in got.headers if name.lower().startswith("access-control")]
        assert got.header("Vary") == "Origin"


async def test_the_page_of_the_server_itself(stand: Stand) -> None:
    """Its own pages call it with an Origin too."""
    own = f"http://127.0.0.1:{stand.port}"
    data = request_bytes("POST", CHAT, GOOD, token=stand.token, headers=[("Origin", own)], host=own[7:])
    assert (await exchange(stand.port, data)).status == 200


async def test_a_reload_shuts_a_page_out(stand: Stand) -> None:
    """Also on a connection that is open."""
    async with await connect(stand.port) as client:
        data = request_bytes("POST", CHAT, GOOD, token=stand.token, headers=[("Origin", PAGE)])
        await client.send(data)
        _readable(await client.read_answer(), PAGE)
        lane = stand.app.live.settings.server.fast_path
        for origins, status in ((["null"], 403), (ORIGINS, 200)):
            more = {"server": {"fast_path": lane, "origins": origins}}
            write_config(stand.folder, settings(stand.sim.url, more))
            assert await stand.app.live.reload() is None
            await client.send(data)
            assert (await client.read_answer()).status == status
