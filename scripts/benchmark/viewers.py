"""Browsers with a live page open, in a process of their own, which gives way to everything else on the machine.

    python viewers.py PORT COUNT PATH    the cookie comes on stdin, whose end ends it

Each of COUNT viewers follows the events, and reads the live part at PATH again at every tick, with the ETag of what it
has, over a connection that it keeps, as a browser does. Prints "ready" when all follow, and at the end a JSON object:
read (parts that were read), unchanged (those of them that were answered with 304), bytes.
"""

import asyncio
import json
import os
import re
import sys
from dataclasses import asdict, dataclass

_FIELD = re.compile(rb"\r\n(etag|content-length): ([^\r]+)", re.IGNORECASE)


@dataclass
class Readings:
    """What all viewers have read."""

    read: int = 0
    unchanged: int = 0
    bytes: int = 0


class Viewer:
    """One browser: a connection that hears of changes, and one that reads the live part."""

    def __init__(self, port: int, cookie: str, readings: Readings) -> None:
        self._port, self._cookie, self._readings = port, cookie, readings
        self._etag = b""

    async def watch(self, path: str, hears: asyncio.Event) -> None:
        """Follow the events until cancelled; hears: set once the server has begun to tell them."""
        events, telling = await self._connect()
        reader, writer = await self._connect()
        try:
            telling.write(self._head("/dashboard/events"))
            if not (await events.readline()).startswith(b"HTTP/1.1 200"):
                raise SystemExit("the events were refused")
            hears.set()
            while line := await events.readline():
                if line.strip() == b"event: tick":
                    await self._refresh(path, reader, writer)
        finally:
            telling.close()
            writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._port)

    def _head(self, path: str) -> bytes:
        known = b"If-None-Match: %b\r\n" % self._etag if self._etag else b""
        head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nCookie: {self._cookie}\r\n"
        return head.encode() + known + b"\r\n"

    async def _refresh(self, path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._head(path))
        head = await reader.readuntil(b"\r\n\r\n")
        fields = {name.lower(): value for name, value in _FIELD.findall(head)}
        body = await reader.readexactly(int(fields.get(b"content-length", b"0")))
        status, self._etag = head[9:12], fields.get(b"etag", self._etag)
        if status not in (b"200", b"304"):
            raise SystemExit(f"the live part was answered with {status.decode()}")
        self._readings.read += 1
        self._readings.unchanged += status == b"304"
        self._readings.bytes += len(head) + len(body)


async def run(port: int, count: int, path: str, cookie: str) -> Readings:
    readings = Readings()
    hearing = [asyncio.Event() for _ in range(count)]
    watching = [asyncio.ensure_future(Viewer(port, cookie, readings).watch(path, hears)) for hears in hearing]
    for hears in hearing:
        await hears.wait()
    print("ready", flush=True)
    ended = asyncio.ensure_future(asyncio.to_thread(sys.stdin.read))
    done, _ = await asyncio.wait((ended, *watching), return_when=asyncio.FIRST_COMPLETED)
    for viewer in done - {ended}:
        viewer.result()  # raises what ended it
        raise SystemExit("the events of a viewer have ended")
    for viewer in watching:
        viewer.cancel()
    await asyncio.gather(*watching, return_exceptions=True)
    return readings


def main(port: str, count: str, path: str) -> None:
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    else:
        os.nice(19)
    cookie = sys.stdin.readline().strip()
    print(json.dumps(asdict(asyncio.run(run(int(port), int(count), path, cookie)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
