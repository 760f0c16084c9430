"""Browsers with a live page open, in a process of their own, which gives way to everything else on the machine.

    python viewers.py PORT COUNT PATH    the cookie comes on stdin, whose end ends it

Each of COUNT viewers follows the live part at PATH, which comes over a stream whenever it has changed, as a page does.
Prints "ready" when all follow, and at the end a JSON object: parts (that came), bytes.
"""

import asyncio
import json
import os
import sys
from dataclasses import asdict, dataclass
from urllib.parse import quote


@dataclass
class Readings:
    """What all viewers have read."""

    parts: int = 0
    bytes: int = 0


class Viewer:
    """One browser: a connection over which a live part comes."""

    def __init__(self, port: int, cookie: str, readings: Readings) -> None:
        self._port, self._cookie, self._readings = port, cookie, readings

    async def watch(self, path: str, hears: asyncio.Event) -> None:
        """Follow the part until cancelled; hears: set once the server has begun to tell of it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            address = f"/dashboard/events?part={quote(path, safe='')}"
            head = f"GET {address} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nCookie: {self._cookie}\r\n\r\n"
            writer.write(head.encode())
            if not (await reader.readline()).startswith(b"HTTP/1.1 200"):
                raise SystemExit("the events were refused")
            hears.set()
            while line := await reader.readline():
                self._readings.bytes += len(line)
                self._readings.parts += line.strip() == b"event: part"
        finally:
            writer.close()


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
