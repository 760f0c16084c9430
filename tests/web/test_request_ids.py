"""Whatever is answered names its request, so that a user can tell the operator which one it was."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.installation import ADMIN_TOKEN
from tests.support.raw import Answer, connect, connect_unix, request_bytes
from tests.support.stand import CHAT, MESSAGES, MODEL, Stand
from tests.support.stand import stand as run_stand

pytestmark = pytest.mark.asyncio(loop_scope="module")

_ID = re.compile(r"req_[0-9a-f]{16}")
_CHAT: dict[str, Any] = {"model": MODEL, "messages": MESSAGES}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    async with run_stand(tmp_path_factory.mktemp("ids")) as found:
        yield found


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/healthz", 200),
        ("HEAD", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/metrics", 200),
        ("GET", "/v1/models", 200),
        ("GET", f"/v1/models/{MODEL}", 200),
        ("GET", "/v1/key", 200),
        ("GET", "/v1/credits", 200),
        ("GET", "/v1/me/limits", 200),
        ("GET", "/v1/me/usage", 200),
        ("GET", "/v1/generation", 400),
        ("OPTIONS", "/v1/models", 204),
        ("GET", "/nothing", 404),
        ("DELETE", "/v1/models", 405),
        ("GET", "/v1/responses", 405),
    ],
)
async def test_pages(stand: Stand, method: str, path: str, status: int) -> None:
    client = await connect(stand.port)
    await client.send(request_bytes(method, path, token=stand.token))
    got = await client.read_answer(head_only=method == "HEAD")
    await client.close()
    assert got.status == status
    _check(got)


@pytest.mark.parametrize("body", [_CHAT, {**_CHAT, "stream": True}, {}, {**_CHAT, "model": "none"}])
@pytest.mark.parametrize("path", [CHAT, f"{CHAT}?", "/v1/explain"])
async def test_requests_with_a_body(stand: Stand, path: str, body: dict[str, Any]) -> None:
    _check(await stand.ask("POST", path, body))


async def test_the_operator(stand: Stand) -> None:
    _check(await stand.ask("POST", "/admin/v1/users/list", {}, token=ADMIN_TOKEN))
    async with await connect_unix(str(stand.folder / "ledger.db.sock")) as client:
        await client.send(request_bytes("POST", "/admin/v1/users/list", {}))
        _check(await client.read_answer())


async def test_a_page_that_asks_before_it_calls(stand: Stand) -> None:
    headers = (("Origin", f"http://127.0.0.1:{stand.port}"), ("Access-Control-Request-Method", "POST"))
    got = await stand.ask("OPTIONS", CHAT, headers=headers, host=f"127.0.0.1:{stand.port}")
    assert got.status == 204
    _check(got)


def _check(got: Answer) -> None:
    values = [value for name, value in got.headers if name.lower() == "x-request-id"]
    assert len(values) == 1
    assert _ID.fullmatch(values[0])
