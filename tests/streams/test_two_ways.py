"""The two ways in differ in nothing that a client can see: the same raw requests, the same answers byte for byte.

After each answer a second request goes out on the same connection, unless the first said that it closes: nothing of an
answer may be left over for it.
"""

import asyncio
import re
import zlib
from collections.abc import Mapping
from pathlib import Path

from proxy.web.server.aiohttp_server import UserConnection
from tests.faults.place import Place, body_of, place
from tests.faults.raw_upstream import Close, Pause, Reset, Turn
from tests.faults.told import END, Told, chunk, head, plain, stream_head
from tests.support.patience import eventually
from tests.support.raw import Answer, request_bytes

COST_PUSD = 4_000_000
_OWN_ID = re.compile(rb"req_[0-9a-f]+")


def _turns(told: Told) -> Mapping[str, Turn]:
    """Give what a provider may do with a request; the id is another one each time."""
    events = b"".join(told.events())
    packed = zlib.compress(events, wbits=31)
    latin, wide = "X-RateLimit-Note: caf\xe9 \xff", "X-OpenRouter-Note: " + "\u00e9\u20ac".encode().decode("latin-1")
    sse = "Content-Type: text/event-stream"
    length = f"Content-Length: {len(events)}"
    steps = {
        "a stream": (told.stream() + END,),
        "a stream with odd headers": (told.stream(None, latin, wide, "X-RateLimit-Tab: a\tb", "Server: nginx") + END,),
        "a stream with a length": (head(200, sse, length) + events,),
        "a stream to the end of the connection": (head(200, sse, "Connection: close") + events, Close()),
        "a packed stream": (head(200, sse, "Content-Encoding: gzip", f"Content-Length: {len(packed)}") + packed,),
        "a stream that breaks": (told.stream(told.events()[:3]), Pause(0.02), Reset()),
        "a stream of nothing": (stream_head() + END,),
        "JSON": (told.answer(),),
        "JSON with odd headers": (told.answer(latin, wide),),
        "JSON behind padding": (stream_head(type_="application/json") + chunk(b" \n") + chunk(told.body()) + END,),
        "no content": (head(204),),
        "no content, as a stream": (head(204, sse),),
        "no content and its length": (head(204, "Content-Length: 0"),),
        "reset content": (head(205, "Content-Length: 0"),),
        "not modified": (head(304),),
        "accepted, without a body": (head(202, "Content-Length: 0"),),
        "an error": (plain({"error": {"message": "x", "code": 400}}, latin, status=400),),
        "an error of an odd status": (plain({"error": {"message": "x"}}, status=499),),
        "a page": (plain(b"<p>x</p>", status=503, type_="text/html"),),
        "no answer": (Reset(),),
    }
    return {name: Turn(each, {told.id: COST_PUSD}) for name, each in steps.items()}


NAMES = tuple(_turns(Told("x", 1)))
LINES: Mapping[str, tuple[bytes, tuple[tuple[str, str], ...]]] = {  # how a client may ask
    "kept alive": (b"HTTP/1.1", ()),
    "closing": (b"HTTP/1.1", (("Connection", "close"),)),
    "old": (b"HTTP/1.0", ()),
    "old and kept alive": (b"HTTP/1.0", (("Connection", "keep-alive"),)),
}


def _seen(answer: Answer) -> tuple[object, ...]:
    """Give what must be equal: all but the date and our own id."""
    headers = sorted((name.lower(), value) for name, value in answer.headers if name.lower() != "date")
    masked = [(name, "req" if value.startswith("req_") else value) for name, value in headers]
    return answer.status, masked, _OWN_ID.sub(b"req", answer.body), answer.end


async def _asked(found: Place, name: str, line: str, n: int, *, stream: bool) -> tuple[object, ...]:
    version, headers = LINES[line]
    told = Told(f"gen-{n}", COST_PUSD)
    turn = Turn(_turns(told)[name].steps)
    found.upstream.choose = lambda _: turn  # also where it is asked twice
    client = await found.begin_nothing()
    data = request_bytes("POST", "/v1/chat/completions", body_of("openrouter", stream=stream), token=found.token)
    first, _, rest = data.partition(b"\r\n")
    lines = "".join(f"{key}: {value}\r\n" for key, value in headers).encode()
    await client.send(first.replace(b"HTTP/1.1", version) + b"\r\n" + lines + rest)
    answer = await client.read_answer()
    await found.quiet()
    seen: tuple[object, ...] = tuple(str(part).replace(told.id, "gen") for part in _seen(answer))
    closes = (answer.header("Connection") or "").lower() == "close"
    if closes or (version == b"HTTP/1.0" and line == "old"):
        return (*seen, await client.at_end())
    await client.send(request_bytes("GET", "/healthz"))
    again = await client.read_answer()
    await client.close()
    return (*seen, again.status, again.end)


async def test_both_ways_answer_alike(tmp_path: Path) -> None:
    found: dict[bool, dict[tuple[str, str, bool], tuple[object, ...]]] = {}
    for lane in (True, False):
        folder = tmp_path / str(lane)
        folder.mkdir()
        seen = found[lane] = {}
        async with place(folder, {"server": {"fast_path": lane}}) as each:
            for n, (name, line, stream) in enumerate(
                (name, line, stream) for name in NAMES for line in LINES for stream in (False, True)
            ):
                seen[name, line, stream] = await _asked(each, name, line, n, stream=stream)
    for case, seen_there in found[False].items():
        assert found[True][case] == seen_there, case
    for case, seen_there in found[True].items():
        name, line, stream = case
        ended = seen_there[-1]
        assert ended in ("complete", "fin"), case  # the second answer was whole, or the connection ended in order
        assert seen_there[3] in ("complete", "fin"), case
        kept = found[True][name, "kept alive", stream]
        assert seen_there[0] == kept[0], case
        assert seen_there[2] == kept[2], case


async def test_half_a_head_is_given_no_second_time(tmp_path: Path) -> None:
    """What the lane hands over has the time that is left of its connection's, not all of it anew."""
    async with place(tmp_path, {"server": {"head_timeout_s": 30}}) as found:
        loop = asyncio.get_running_loop()
        client = await found.begin_nothing()
        await asyncio.sleep(0.05)
        sent_s = loop.time()
        await client.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n")

        async def handed_over() -> UserConnection | None:
            connections = [each for server in found.app._servers for each in server.connections]
            return next((each for each in connections if isinstance(each, UserConnection)), None)

        connection = await eventually(handed_over)
        assert connection is not None
        assert connection._head_timer is not None
        assert connection._head_timer.when() < sent_s + 30
