"""A server that speaks the toy's form: it does what a test sets, and keeps what it was asked."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from tests.contracts.toy import STREAM_TYPE, WHOLE_TYPE
from tests.providers.scripted import Peer, serving


class ToyRequest(NamedTuple):
    path: str
    headers: dict[str, str]
    body: Any


class ToyServer:
    """pieces is what the next answers are, one write a piece; hold: the rest waits behind the first for release."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[ToyRequest] = []
        self.status = 200
        self.pieces: list[bytes] = []
        self.breaks = False  # the connection is reset where the answer should end
        self.release: asyncio.Event | None = None

    async def play(self, peer: Peer) -> None:
        while raw := await peer.request():
            head, _, body = raw.partition(b"\r\n\r\n")
            first, *lines = head.decode().split("\r\n")
            method, path, _ = first.split(" ")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            if method == "GET":
                await peer.send(_whole(200, "application/json", b'{"data":[{"id":"voice"}]}'))
                continue
            request = ToyRequest(path, headers, json.loads(body))
            self.asked.append(request)
            if self.status != 200 or not request.body["live"]:
                kind = "text/html" if self.pieces and self.pieces[0].startswith(b"<") else WHOLE_TYPE
                await peer.send(_whole(self.status, kind, b"".join(self.pieces)))
            else:
                await self._stream(peer)
            if self.breaks:
                return

    async def _stream(self, peer: Peer) -> None:
        await peer.send(
            f"HTTP/1.1 200 OK\r\nContent-Type: {STREAM_TYPE}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        for n, piece in enumerate(self.pieces):
            if n == 1 and self.release is not None:
                await self.release.wait()
            await peer.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            await asyncio.sleep(0)
        if self.breaks:
            peer.reset()
        else:
            await peer.send(b"0\r\n\r\n")


def _whole(status: int, content_type: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} Toy\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@asynccontextmanager
async def toy_server() -> AsyncIterator[ToyServer]:
    toy = ToyServer()
    async with serving(toy.play) as server:
        toy.url = server.url
        yield toy
