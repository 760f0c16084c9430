"""Open pages look for changes one after another, are told of them, and all read what was made once."""

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest

from proxy.core.clock import SystemClock
from proxy.web.dashboard.fragments import FragmentCache
from proxy.web.dashboard.pages.live import wait_s
from tests.support.installation import ADMIN_TOKEN
from tests.support.moved_clock import MovedClock
from tests.support.stand import stand as run_stand
from tests.support.visitor import Visitor

EVERY_S = 2.0


@pytest.mark.parametrize("streams", [1, 2, 7, 50, 200])
def test_looks_are_spread_over_the_interval(streams: int) -> None:
    """However many there are, and whatever the time, the longest gap is about what an even spread has."""
    for first, now_s in ((1, 0.0), (1234, 17.3), (10**6, 987_654.321)):
        moments = sorted((now_s + wait_s(first + n, now_s)) % EVERY_S for n in range(streams))
        gaps = [after - before for before, after in pairwise([*moments, moments[0] + EVERY_S])]
        assert max(gaps) < 2.7 * EVERY_S / streams if streams > 1 else moments
        assert all(0 <= wait_s(first + n, now_s) < EVERY_S for n in range(streams))


def test_a_stream_keeps_its_moment() -> None:
    for stream in (1, 17, 4321):
        assert (100.0 + wait_s(stream, 100.0)) % EVERY_S == pytest.approx((171.7 + wait_s(stream, 171.7)) % EVERY_S)


async def test_a_fragment_is_made_once_for_all_who_ask_within_a_second() -> None:
    cache, clock, made = FragmentCache(), MovedClock(1_800_000_000_000), 0

    async def make() -> bytes:
        nonlocal made
        made += 1
        await asyncio.sleep(0.01)
        return b"made %d" % made

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

    async def fail() -> bytes:
        raise ValueError("no disk")

    async def make() -> bytes:
        return b"made"

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
