"""What is on disk when: no provider has a whole request before its row, and no client a whole answer before its end."""

import asyncio
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from tests.faults.conftest import Open
from tests.faults.place import CHAT, Place, body_of, clean
from tests.faults.raw_upstream import Close, Heard, Reset, Step, Turn
from tests.faults.seen import BOTH, refused
from tests.faults.told import Told
from tests.support.held_disk import held_disk
from tests.support.installation import token_hash_of, token_of
from tests.support.patience import eventually
from tests.support.raw import request_bytes

LONG = [{"role": "user", "content": "Tell me a story. " * 500}]
ON_A_FULL_DISK = {"ledger": {"busy_timeout_s": 0.1, "settlement_timeout_s": 0.2}}


async def begun(place: Place, count: int) -> None:
    """Wait until so many requests have begun to arrive at the provider, and no more comes of them."""

    async def look() -> bool:
        return place.upstream.begun == count

    await eventually(look)
    await asyncio.sleep(0.02)


async def ready(place: Place) -> int:
    """Wait until nothing else is written; return how many requests have begun to arrive at the provider."""

    async def look() -> bool:
        return place.app.ledger.is_idle()

    await place.quiet()
    await eventually(look)
    return place.upstream.begun


@BOTH
@pytest.mark.parametrize("fields", [{}, {"messages": LONG}], ids=["short", "long"])
async def test_the_row_comes_before_the_whole_request(opened: Open, stream: bool, fields: dict[str, Any]) -> None:
    place, connections = await opened(), 0
    for kept in (False, True):  # a new connection, and one that is there already
        upstream = place.upstream
        before = (await ready(place), len(upstream.chats()), len(place.rows()))
        with held_disk(place.folder / "ledger.db"):
            chat = asyncio.ensure_future(place.chat(stream=stream, **fields))
            await begun(place, before[0] + 1)
            assert (len(upstream.chats()), len(place.rows())) == before[1:]
        assert clean(await chat).status == 200
        assert await place.figures() == ("settled", place.newest_charge_pusd(), "provider", None, None, 200)
        assert (len(upstream.chats()), upstream.begun) == (before[1] + 1, before[0] + 1)
        assert not kept or upstream.connections == connections
        connections = upstream.connections
    await place.works()


@BOTH
async def test_a_disk_that_refuses_leaves_half_a_request(opened: Open, stream: bool) -> None:
    """The provider got nothing that it could act on, and the connection is not used again."""
    place = await opened(ON_A_FULL_DISK)
    await place.works()
    await ready(place)
    chats, connections = len(place.upstream.chats()), place.upstream.connections
    with held_disk(place.folder / "ledger.db"):
        refused(await place.chat(stream=stream), 503, "ledger_unavailable")
    await place.quiet()
    assert len(place.upstream.chats()) == chats
    assert b"HTTP/1.1" in place.upstream.received
    assert b"messages" not in place.upstream.received
    assert place.app.services.health.of(place.app.services.live.current.providers["openrouter"]).breaker.is_closed
    await place.works()
    assert place.upstream.connections == connections + 1


async def test_a_client_that_goes_before_the_row_is_there(opened: Open) -> None:
    place = await opened()
    await place.works()
    before, chats = await ready(place), len(place.upstream.chats())
    with held_disk(place.folder / "ledger.db"):
        client = await place.begin_chat()
        await begun(place, before + 1)
        await client.hang_up()
        await eventually(lambda: _gone(place))
    await place.quiet()
    row = place.rows()[-1]
    assert (row["state"], row["cost_pusd"], row["status"], row["attempts"]) == ("released", 0, 499, 0)
    assert place.attempts()[-1]["outcome"] == "not_sent"
    assert len(place.upstream.chats()) == chats
    await place.works()


async def _gone(place: Place) -> bool:
    return all(context.gone for context in place.app.services.in_flight)


@pytest.mark.parametrize("path", [CHAT, f"{CHAT}?by=aiohttp"], ids=["fast", "aiohttp"])
@pytest.mark.parametrize("spaces", [0, 4000], ids=["json", "spaces behind"])
async def test_the_end_comes_before_the_whole_answer(opened: Open, path: str, spaces: int) -> None:
    """All but its last bytes may be with the client, but not what makes it whole; its bytes are as ever."""
    place = await opened({"users": {"bob": {"token_hash": token_hash_of("bob")}}})
    told = Told("gen-long", 4_000_000, output_tokens=2000)
    body = told.body(note=" ".join(map(str, range(1000)))) + b" " * spaces
    client = await place.begin_nothing()
    with closing(sqlite3.connect(place.folder / "ledger.db", isolation_level=None)) as disk:

        def hold(_heard: Heard) -> Turn:
            disk.execute("BEGIN IMMEDIATE")
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            return Turn((head.encode() + body,), {told.id: told.charged_pusd})

        place.upstream.choose = hold
        await ready(place)
        await client.send(request_bytes("POST", path, body_of("openrouter"), token=token_of("bob")))
        came = b"" if spaces else await client.read_until(body[-1044:-1024])  # what lacks only spaces would be whole
        with pytest.raises(TimeoutError):
            came += await client.read_some(0.1)
        assert came.partition(b"\r\n\r\n")[2] == (b"" if spaces else body[:-1024])
        assert [row["state"] for row in place.rows()] == ["open"]
        disk.execute("ROLLBACK")
    while len(came.partition(b"\r\n\r\n")[2]) < len(body):
        came += await client.read_some()
    head, _, sent = came.partition(b"\r\n\r\n")
    assert sent == body
    assert f"\r\ncontent-length: {len(body)}\r\n".encode() in head.lower()
    assert b"\r\nx-tollkeeper-cost-usd: 0.000004\r\n" in head
    assert await place.figures() == ("settled", told.charged_pusd, "provider", None, None, 200)


@pytest.mark.parametrize("end", [Reset(), Close()], ids=["RST", "FIN"])
async def test_u6_before_the_request_was_whole(opened: Open, end: Step) -> None:
    """Its end was still here, so that nothing can be billed: it is sent again, without a word."""
    place = await opened()
    before, chats = await ready(place), len(place.upstream.chats())
    place.upstream.next(Turn((end,), unread=True))
    transport = place.app.services.live.current.providers["openrouter"].transport

    async def is_left() -> bool:
        return place.upstream.begun == before + 1 and transport.connections().open == 0

    with held_disk(place.folder / "ledger.db"):
        chat = asyncio.ensure_future(place.chat())
        await eventually(is_left)
    assert clean(await chat).status == 200
    assert await place.figures() == ("settled", place.newest_charge_pusd(), "provider", None, None, 200)
    assert (len(place.upstream.chats()), place.upstream.begun) == (chats + 1, before + 2)
    await place.works()
