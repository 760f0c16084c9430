"""Open pages look for changes one after another, are told of them, and all read what was made once."""

import asyncio
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

import pytest

from proxy.core.clock import SystemClock
from proxy.web.dashboard.fragments import FragmentCache, _fragment_of
from proxy.web.dashboard.live_stream import look_s, wait_s
from tests.support.installation import ADMIN_TOKEN
from tests.support.moved_clock import MovedClock
from tests.support.stand import stand as run_stand
from tests.support.visitor import Visitor

SPREAD_S = 0.75
PART = "/dashboard/requests/rows"


@pytest.mark.parametrize("streams", [1, 2, 7, 50, 200])
def test_looks_at_one_part_follow_one_another(streams: int) -> None:
    """However many there are, and whatever the time, they lie evenly within the time that a part is kept for."""
    every_s = look_s(streams)
    for first, now_s in ((1, 0.0), (1234, 17.3), (10**6, 987_654.321)):
        waits = [wait_s(first + n, PART, now_s, every_s) for n in range(streams)]
        assert all(0 <= wait < every_s for wait in waits)
        moments = sorted((now_s + wait) % every_s for wait in waits)
        gaps = [after - before for before, after in pairwise([*moments, moments[0] + every_s])]
        rest_s = max(gaps)  # nobody looks then
        assert rest_s >= every_s - SPREAD_S - 1e-6
        gaps.remove(rest_s)
        assert max(gaps, default=0.0) < 2.7 * SPREAD_S / streams


@pytest.mark.parametrize(("streams", "every_s"), [(1, 2.0), (25, 2.0), (26, 4.0), (50, 4.0), (51, 6.0), (200, 6.0)])
def test_a_crowd_is_told_less_often(streams: int, every_s: float) -> None:
    assert look_s(streams) == every_s


def test_parts_are_looked_at_at_different_times() -> None:
    begins = {round(wait_s(0, f"{PART}?user=user-{n}", 0.0), 1) for n in range(200)}
    assert len(begins) > 10


def test_a_stream_keeps_its_moment() -> None:
    for stream in (1, 17, 4321):
        for every_s in (2.0, 4.0, 6.0):
            moments = [(now_s + wait_s(stream, PART, now_s, every_s)) % every_s for now_s in (100.0, 171.7)]
            assert moments[0] == pytest.approx(moments[1])


async def test_a_fragment_is_made_once_for_all_who_ask_within_a_second() -> None:
    cache, clock, made = FragmentCache(), MovedClock(1_800_000_000_000), 0

    async def make() -> str:
        nonlocal made
        made += 1
        await asyncio.sleep(0.01)
        return f"made {made}"

    key = ("/dashboard/requests/rows", "VIEWER")
    first, second = await asyncio.gather(cache.read(key, clock, make), cache.read(key, clock, make))
    assert first == second == await cache.read(key, clock, make)
    assert (first.content, made) == (b"made 1", 1)
    other = await cache.read((key[0], "ADMIN"), clock, make)
    assert (other.content, made) == (b"made 2", 2), "another role may see something else"
    clock.move_to(clock.now_ms() + 1100)
    later = await cache.read(key, clock, make)
    assert (later.content, made) == (b"made 3", 3)
    assert later.etag != first.etag


async def test_a_fragment_that_failed_is_made_again() -> None:
    cache, clock = FragmentCache(), SystemClock()

    async def fail() -> str:
        raise ValueError("no disk")

    async def make() -> str:
        return "made"

    with pytest.raises(ValueError, match="no disk"):
        await cache.read(("/a", "VIEWER"), clock, fail)
    assert (await cache.read(("/a", "VIEWER"), clock, make)).content == b"made"


async def test_open_pages_are_told_of_a_change_and_read_it_once(tmp_path: Path) -> None:
    async with run_stand(tmp_path) as stand:
        viewer = Visitor(stand.port)
        await viewer.log_in(ADMIN_TOKEN)
        head = f"GET /dashboard/events HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {viewer.cookie}\r\n\r\n"
        streams = [await asyncio.open_connection("127.0.0.1", stand.port) for _ in range(3)]
        for reader, writer in streams:
            writer.write(head.encode())
            assert (await reader.readuntil(b"retry: 3000\n\n")).startswith(b"HTTP/1.1 200")
        await stand.chat()
        for reader, writer in streams:
            assert b"event: tick" in await asyncio.wait_for(reader.readuntil(b"event: tick\n"), 20)
            writer.close()
        first = await viewer.get("/dashboard/requests/rows")
        assert first.status == 200
        etag = first.header("ETag") or ""
        again = await viewer.get("/dashboard/requests/rows", headers=[("If-None-Match", etag)])
        assert (again.status, again.body) == (304, b"")


async def test_a_live_part_is_sent_at_first_and_at_each_change(tmp_path: Path) -> None:
    async with run_stand(tmp_path) as stand:
        viewer = Visitor(stand.port)
        await viewer.log_in(ADMIN_TOKEN)
        streams = [await follow(stand.port, viewer.cookie, PART) for _ in range(3)]
        for reader, _ in streams:
            assert b"No request has come yet" in await part_of(reader)
        await stand.chat()
        for reader, writer in streams:
            text = await part_of(reader)
            assert text.count(b"<tbody>") == 1
            assert b"\ndata: " in text
            shown = b"\n".join(line.removeprefix(b"data: ") for line in text.split(b"\n")[1:-2])
            assert shown == (await viewer.get(PART)).body
            writer.close()


@pytest.mark.parametrize("part", ["/dashboard", "/me", "/dashboard/nothing", "/dashboard/stop", "/healthz", "//x/y"])
async def test_only_live_parts_are_followed(part: str, tmp_path: Path) -> None:
    async with run_stand(tmp_path) as stand:
        viewer = Visitor(stand.port)
        await viewer.log_in(ADMIN_TOKEN)
        assert (await viewer.get(f"/dashboard/events?part={quote(part)}")).status in (400, 404)


def test_a_text_with_any_ends_of_lines_is_one_event() -> None:
    made = _fragment_of("a\r\nb\rc\n\nevent: bye\n", (1,))
    assert made.event == b"event: part\ndata: a\ndata: b\ndata: c\ndata: \ndata: event: bye\ndata: \n\n"
    assert (made.content, made.stamp) == (b"a\r\nb\rc\n\nevent: bye\n", (1,))


async def test_a_change_while_a_part_is_made_is_read_at_the_next_look() -> None:
    """What was kept carries the stamp of before it was made, not that of who is given it."""
    cache, clock = FragmentCache(), MovedClock(1_800_000_000_000)

    async def make() -> str:
        return "made"

    first = await cache.read((PART, "VIEWER"), clock, make, (1,))
    kept = await cache.read((PART, "VIEWER"), clock, make, (2,))
    assert kept is first
    assert kept.stamp == (1,)


async def follow(port: int, cookie: str, part: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a stream of a part; return it after its head."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    address = f"/dashboard/events?part={quote(part, safe='')}"
    writer.write(f"GET {address} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n\r\n".encode())
    assert (await reader.readuntil(b"retry: 3000\n\n")).startswith(b"HTTP/1.1 200")
    return reader, writer


async def part_of(reader: asyncio.StreamReader) -> bytes:
    """Return the next event of a part, from its name to the empty line."""
    await asyncio.wait_for(reader.readuntil(b"event: part"), 20)
    return await asyncio.wait_for(reader.readuntil(b"\n\n"), 20)


async def test_a_stream_ends_with_the_login(tmp_path: Path) -> None:
    """Nobody who was logged out, or whose token opens nothing any more, sees what comes after."""
    async with run_stand(tmp_path) as stand:
        made = await stand.ask("POST", "/admin/v1/operators", {"name": "vera", "role": "viewer"}, token=ADMIN_TOKEN)
        vera, admin = Visitor(stand.port), Visitor(stand.port)
        await vera.log_in(made.json()["data"]["token"])
        await admin.log_in(ADMIN_TOKEN)
        streams = [await follow(stand.port, who.cookie, PART) for who in (vera, admin)]
        for reader, _ in streams:
            await part_of(reader)
        gone = await stand.ask("DELETE", "/admin/v1/operators/vera", token=ADMIN_TOKEN)
        assert gone.status == 200
        await stand.chat()
        assert b"event: part" not in await asyncio.wait_for(streams[0][0].readuntil(b"event: bye"), 20)
        await part_of(streams[1][0])
        await admin.post("/dashboard/logout", {})
        await stand.chat()
        assert b"event: part" not in await asyncio.wait_for(streams[1][0].readuntil(b"event: bye"), 20)
        for _, writer in streams:
            writer.close()
