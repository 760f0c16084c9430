"""A head that came on another connection is not read again: the same bytes but for the digits of its length."""

from pathlib import Path

import pytest
from multidict import CIMultiDict

from proxy.web.server import fast_path
from proxy.web.server.fast_path import Head, Heads
from tests.support.raw import Client, connect, request_bytes
from tests.support.stand import CHAT, MESSAGES, MODEL, stand

SNAPSHOT = object()


def head(length: object = 12, token: str = "tk-a") -> bytes:
    lines = ("POST /v1/chat/completions HTTP/1.1", "Host: localhost", f"Authorization: Bearer {token}")
    return "\r\n".join([*lines, f"Content-Length: {length}", "X: y", "", ""]).encode()


def made(data: bytes) -> Head:
    return Head(data, CIMultiDict())


def test_only_the_length_may_differ() -> None:
    heads, kept = Heads(), made(head())
    assert heads.find(head(), SNAPSHOT) is None
    heads.keep(head(), kept)
    assert heads.find(head(7), SNAPSHOT) is kept
    for other in (head(token="tk-b"), head() + b" ", head(b"\0"), head().replace(b"Content-Length: 12\r\n", b"")):
        found = heads.find(other, SNAPSHOT)
        assert found is None or found.again(other) is None, other
    bare = head().replace(b"\r\nContent-Length: 12\r\n", b"\0")  # the key itself
    found = heads.find(bare, SNAPSHOT)
    assert found is None or found.again(bare) is None


def test_another_configuration_forgets_them() -> None:
    heads = Heads()
    heads.find(head(), SNAPSHOT)
    heads.keep(head(), made(head()))
    assert heads.find(head(), object()) is None
    assert heads.find(head(), SNAPSHOT) is None, "they are not kept for an older one"


def test_they_are_bounded() -> None:
    heads = Heads()
    heads.find(head(), SNAPSHOT)
    for n in range(1000):
        one = head(token=f"tk-{n}")
        heads.keep(one, made(one))
    assert sum(heads.find(head(token=f"tk-{n}"), SNAPSHOT) is not None for n in range(1000)) <= 64
    large = head(token="t" * 4096)
    heads.keep(large, made(large))
    assert heads.find(large, SNAPSHOT) is None


async def test_on_sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read once for all connections says no less than if each had been read."""
    read: list[bytes] = []
    read_head = fast_path.read_head

    def counted(data: bytes) -> tuple[CIMultiDict[str], int] | None:
        read.append(data)
        return read_head(data)

    monkeypatch.setattr(fast_path, "read_head", counted)

    async def ask(client: Client, text: str, token: str) -> int:
        body = {"model": MODEL, "messages": [*MESSAGES, {"role": "user", "content": text}]}
        await client.send(request_bytes("POST", CHAT, body, token=token))
        return (await client.read_answer()).status

    async with stand(tmp_path) as found:
        clients = [await connect(found.app.port) for _ in range(4)]
        anna = found.token
        assert [await ask(client, "x" * n, anna) for n, client in enumerate(clients)] == [200] * 4
        assert len(read) == 1
        assert await ask(clients[0], "", "tk-nobody") == 401
        assert await ask(clients[1], "", anna) == 200
        assert await ask(clients[2], "", "tk-nobody") == 401
        for client in clients:
            await client.close()
