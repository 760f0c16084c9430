"""Load for the bench on raw sockets, in a process of its own, so that it costs the measured proxy nothing.

    python load.py streams PORT TOKEN STREAMS EVENTS INTERVAL_MS MODEL
    python load.py latency PORT TOKEN RATE SECONDS CONNECTIONS MODEL ...
    python load.py lanes TOKEN RATE SECONDS CONNECTIONS MODEL NAME=PORT ...
    python load.py ... --header "Name: value"        sends it with each request, too

RATE is that of all models together, which are asked equally often, in an order by chance. With lanes, one model is
asked through several ports at once, each at RATE, over CONNECTIONS of its own.

Prints one JSON object: answered, failed, events (streams only), delays_us (sorted) by model, or by NAME, and late_us
(sorted; not of streams): how much later than due a request was sent, which is in no delay. A delay is,
for streams, from the upstream's write of an event to its arrival here (both read the same monotonic clock);
for latency, from the request's write to the last byte of its answer.
"""

import asyncio
import json
import random
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import uvloop

_FILLER = "Some words of a conversation that went on for a while. " * 33
_SENT_NS = re.compile(rb'"sent_ns":"(\d{19})')
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_GRACE_S = 20  # for answers still under way when the last one should have come


@dataclass
class Outcome:
    answered: int = 0
    failed: int = 0
    events: int = 0
    delays_us: dict[str, list[float]] = field(default_factory=dict)
    late_us: list[float] = field(default_factory=list)
    first_failure: str = ""

    def fail(self, what: str) -> None:
        self.failed += 1
        self.first_failure = self.first_failure or what


def chat_request(token: str, model: str, *, stream: bool, headers: list[str] | None = None) -> bytes:
    """Return one whole HTTP request with a chat of 2 KB."""
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": _FILLER}]
    chat = {"model": model, "messages": messages, "temperature": 0.2, "max_tokens": 80}
    body = json.dumps({**chat, "stream": True} if stream else chat, separators=(",", ":")).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: {len(body)}\r\n"
    )
    head += "".join(f"{one}\r\n" for one in headers or ()) + "\r\n"
    return head.encode() + body


class StreamClient(asyncio.Protocol):
    """One connection, one streamed answer."""

    def __init__(self, request: bytes, outcome: Outcome, delays_us: list[float], ended: Callable[[], None]) -> None:
        self._request = request
        self._outcome = outcome
        self._delays_us = delays_us
        self._ended = ended
        self._tail = b""
        self._head = True
        self._done = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now_ns = time.monotonic_ns()
        if self._head:
            self._head = False
            if not data.startswith(b"HTTP/1.1 200"):
                self._finish(data[:300].decode("utf-8", "replace"))
                return
        data = self._tail + data
        end = 0
        for match in _SENT_NS.finditer(data):
            end = match.end()
            self._outcome.events += 1
            self._delays_us.append((now_ns - int(match[1])) / 1000)
        if b"data: [DONE]" in data:
            self._finish(None)
        self._tail = data[max(end, len(data) - 40) :]  # an event or [DONE] may be cut anywhere

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish(f"the connection ended before [DONE]: {exc}")

    def _finish(self, failure: str | None) -> None:
        if self._done:
            return
        self._done = True
        if failure is None:
            self._outcome.answered += 1
        else:
            self._outcome.fail(failure)
        self._transport.close()
        self._ended()


async def run_streams(port: int, token: str, streams: int, events: int, interval_ms: int, model: str) -> Outcome:
    """Start the streams spread over one second and wait for the last."""
    loop = asyncio.get_running_loop()
    outcome = Outcome()
    delays_us = outcome.delays_us.setdefault(model, [])
    all_ended = asyncio.Event()
    request = chat_request(token, model, stream=True)

    def ended() -> None:
        if outcome.answered + outcome.failed == streams:
            all_ended.set()

    for _ in range(streams):
        await loop.create_connection(lambda: StreamClient(request, outcome, delays_us, ended), "127.0.0.1", port)
        await asyncio.sleep(1 / streams if streams > 1 else 0)  # one alone begins at once
    try:
        async with asyncio.timeout(events * interval_ms / 1000 + _GRACE_S):
            await all_ended.wait()
    except TimeoutError:
        missing = streams - outcome.answered - outcome.failed
        outcome.first_failure = outcome.first_failure or f"{missing} streams had no end in time"
        outcome.failed += missing
    return outcome


class KeptConnection(asyncio.Protocol):
    """One keep-alive connection with at most one request under way."""

    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self._got = b""
        self._sent_ns = 0
        self._delays_us: list[float] = []
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send(self, request: bytes, delays_us: list[float]) -> None:
        self.busy = True
        self._delays_us = delays_us
        self._got = b""
        self._sent_ns = time.monotonic_ns()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        now_ns = time.monotonic_ns()
        self._got += data
        if not self.busy or not _is_whole(self._got):
            return
        self.busy = False
        if self._got.startswith(b"HTTP/1.1 200"):
            self._outcome.answered += 1
            self._delays_us.append((now_ns - self._sent_ns) / 1000)
        else:
            self._outcome.fail(self._got[:300].decode("utf-8", "replace"))

    def connection_lost(self, exc: Exception | None) -> None:
        if self.busy:
            self.busy = False
            self._outcome.fail(f"the connection ended before the answer: {exc}")

    @property
    def open(self) -> bool:
        return not self._transport.is_closing()

    def close(self) -> None:
        self._transport.close()


def _is_whole(answer: bytes) -> bool:
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return False
    length = _LENGTH.search(answer, 0, end)
    if length:
        return len(answer) >= end + 4 + int(length[1])
    return answer.endswith(b"0\r\n\r\n")


@dataclass(frozen=True)
class Asked:
    """What an open loop sends, to where, and where the delays go."""

    port: int
    request: bytes
    delays_us: list[float]


async def run_latency(
    port: int,
    token: str,
    rate: float,
    seconds: float,
    connections: int,
    models: list[str],
    headers: list[str] | None = None,
) -> Outcome:
    """Ask one port for all models at a rate that they share; the delays are by model."""
    delays_us: dict[str, list[float]] = {model: [] for model in models}
    turns = [
        Asked(port, chat_request(token, model, stream=False, headers=headers), delays_us[model]) for model in models
    ]
    return await run_open_loop(turns, delays_us, rate, seconds, connections)


async def run_lanes(ports: dict[str, int], request: bytes, rate: float, seconds: float, connections: int) -> Outcome:
    """Send one request through several ports, through each at the rate; the delays are by the names of the ports."""
    delays_us: dict[str, list[float]] = {name: [] for name in ports}
    turns = [Asked(port, request, delays_us[name]) for name, port in ports.items()]
    return await run_open_loop(turns, delays_us, rate * len(turns), seconds, connections)


async def run_open_loop(
    turns: list[Asked], delays_us: dict[str, list[float]], rate: float, seconds: float, connections: int
) -> Outcome:
    """Send at a fixed rate whatever the answers do (an open loop), over connections opened beforehand."""
    loop = asyncio.get_running_loop()
    outcome = Outcome(delays_us=delays_us)
    pools: dict[int, list[KeptConnection]] = {}
    for port in {one.port for one in turns}:
        for _ in range(connections):
            _transport, connection = await loop.create_connection(lambda: KeptConnection(outcome), "127.0.0.1", port)
            pools.setdefault(port, []).append(connection)
    begun = loop.time()
    order = random.Random()
    for n in range(int(rate * seconds)):
        if n % len(turns) == 0:
            order.shuffle(turns)  # else every second moment and connection would be one model's
        await asyncio.sleep(max(0.0, begun + n / rate - loop.time()))
        asked = turns[n % len(turns)]
        pool, first = pools[asked.port], n // len(pools) % connections
        idle = next((c for c in pool[first:] + pool[:first] if not c.busy and c.open), None)
        if idle:
            outcome.late_us.append((loop.time() - begun - n / rate) * 1e6)
            idle.send(asked.request, asked.delays_us)
        else:
            outcome.fail(f"all {connections} connections were busy or closed")
    kept = [connection for pool in pools.values() for connection in pool]
    for tick in range(_GRACE_S * 100):
        if not any(connection.busy for connection in kept):
            break
        await asyncio.sleep(0.01 if tick else 0)
    for connection in kept:
        connection.close()
    return outcome


def main(kind: str, *arguments: str) -> None:
    headers: list[str] = []
    while len(arguments) > 1 and arguments[-2] == "--header":
        *rest, _, header = arguments
        headers.append(header)
        arguments = tuple(rest)
    if kind == "streams":
        port, token, *numbers, model = arguments
        streams, events, interval_ms = map(int, numbers)
        outcome = uvloop.run(run_streams(int(port), token, streams, events, interval_ms, model))
    elif kind == "latency":
        port, token, rate, seconds, connections, *models = arguments
        outcome = uvloop.run(
            run_latency(int(port), token, float(rate), float(seconds), int(connections), models, headers)
        )
    else:
        token, rate, seconds, connections, model, *named = arguments
        ports = {name: int(port) for name, _, port in (one.partition("=") for one in named)}
        request = chat_request(token, model, stream=False, headers=headers)
        outcome = uvloop.run(run_lanes(ports, request, float(rate), float(seconds), int(connections)))
    for one in (*outcome.delays_us.values(), outcome.late_us):
        one.sort()
    print(json.dumps(vars(outcome)))


if __name__ == "__main__":
    main(*sys.argv[1:])
