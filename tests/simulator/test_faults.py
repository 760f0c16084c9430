"""Each way to break off is seen on a raw socket, and the books say what it cost."""

import asyncio
import contextlib
import gzip
import json
import zlib
from typing import Any

import httpx
import pytest

from proxy.simulator.server import Simulator

from .conftest import KEY

BODY = {"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "x" * 400}]}
PROMPT_PUSD = 100 * 150_000  # 400 bytes are 100 tokens at 0.15 USD a million
TOKEN_PUSD = 600_000


def request_bytes(body: dict[str, Any], behaviour: dict[str, Any] | str) -> bytes:
    data = json.dumps(body).encode()
    name = behaviour if isinstance(behaviour, str) else json.dumps(behaviour)
    head = (
        "POST /api/v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {KEY}\r\nX-Sim-Behaviour: {name}\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


async def exchange(simulator: Simulator, raw: bytes, *, silence_s: float = 2) -> tuple[bytes, str]:
    """Send raw, read to the end; the end is "fin", "rst" or "silence"."""
    host, port = simulator.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    got = b""
    try:
        writer.write(raw)
        while True:
            piece = await asyncio.wait_for(reader.read(65536), silence_s)
            if not piece:
                return got, "fin"
            got += piece
    except ConnectionResetError:
        return got, "rst"
    except TimeoutError:
        return got, "silence"
    finally:
        writer.close()
        with contextlib.suppress(ConnectionResetError):
            await writer.wait_closed()


async def books(client: httpx.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get("/_sim/books")).json()
    return found


async def settled(client: httpx.AsyncClient) -> dict[str, Any]:
    """Give the only generation of the books once it is closed."""
    while True:
        found = (await books(client))["generations"]
        if found and all(entry["finished"] for entry in found.values()):
            entry: dict[str, Any]
            (entry,) = found.values()
            return entry
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("way", ["rst", "fin"])
@pytest.mark.parametrize(
    ("where", "after", "seen", "tokens", "cancelled"),
    [
        ("before_headers", 0, None, 0, True),
        ("in_headers", 0, None, 0, True),
        ("after_headers", 0, 0, 0, True),
        ("after_chunks", 3, 3, 3, True),
        ("after_bytes", 5, 0, 0, True),
        ("before_usage", 0, 17, 16, False),
        ("after_usage", 0, 18, 16, False),
    ],
)
async def test_a_stream_breaks_off(
    simulator: Simulator,
    client: httpx.AsyncClient,
    way: str,
    where: str,
    after: int,
    seen: int | None,
    tokens: int,
    cancelled: bool,
) -> None:
    behaviour = {"stop_at": where, "stop_after": after, "stop_with": way}
    got, end = await exchange(simulator, request_bytes({**BODY, "stream": True}, behaviour))
    assert end == way
    if where == "before_headers":
        assert got == b""
    elif where == "in_headers":
        assert got.startswith(b"HTTP/1.1 200")
        assert b"\r\n\r\n" not in got
    else:
        assert got.partition(b"\r\n\r\n")[2].count(b"data: ") == seen
        assert b"[DONE]" not in got
        assert not got.endswith(b"0\r\n\r\n")
    entry = await settled(client)
    assert (entry["completion_tokens"], entry["cancelled"]) == (tokens, cancelled)
    assert entry["charged_pusd"] == PROMPT_PUSD + tokens * TOKEN_PUSD


async def test_a_cut_after_bytes_is_exact(simulator: Simulator, client: httpx.AsyncClient) -> None:
    behaviour = {"stop_at": "after_bytes", "stop_after": 50, "framing": "close"}
    got, end = await exchange(simulator, request_bytes(BODY, behaviour))
    assert end == "fin"
    assert len(got.partition(b"\r\n\r\n")[2]) == 50
    assert (await settled(client))["charged_pusd"] == PROMPT_PUSD + 16 * TOKEN_PUSD


@pytest.mark.parametrize("where", ["before_headers", "after_headers", "after_chunks"])
async def test_silence_lasts_until_the_client_leaves(
    simulator: Simulator, client: httpx.AsyncClient, where: str
) -> None:
    behaviour = {"stop_at": where, "stop_after": 3, "stop_with": "hang"}
    got, end = await exchange(simulator, request_bytes({**BODY, "stream": True}, behaviour), silence_s=0.2)
    assert end == "silence"
    assert got.count(b"data: ") == (3 if where == "after_chunks" else 0)
    entry = await settled(client)
    assert entry["cancelled"]
    assert entry["charged_pusd"] == PROMPT_PUSD + (3 if where == "after_chunks" else 0) * TOKEN_PUSD


async def test_a_pause_ends_and_the_answer_is_whole(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/api/v1/chat/completions",
        json={**BODY, "stream": True},
        headers={"X-Sim-Behaviour": "pause-after-3-chunks"},
    )
    assert answer.text.endswith("data: [DONE]\n\n")
    assert not (await settled(client))["cancelled"]


@pytest.mark.parametrize(
    ("provider", "stream", "tokens"), [("OpenAI", True, 0), ("Groq", True, 16), ("OpenAI", False, 16)]
)
async def test_who_hangs_up_pays_by_provider_and_never_less_for_a_plain_answer(
    simulator: Simulator, client: httpx.AsyncClient, provider: str, stream: bool, tokens: int
) -> None:
    behaviour = {"provider": provider, "delay_ms": 60_000}
    raw = request_bytes({**BODY, "stream": stream}, behaviour)
    assert (await exchange(simulator, raw, silence_s=0.1))[1] == "silence"
    entry = await settled(client)
    assert entry["charged_pusd"] == PROMPT_PUSD + tokens * TOKEN_PUSD
    (wanted,) = (await books(client))["generations"]
    record = (await client.get(f"/api/v1/generation?id={wanted}")).json()["data"]
    assert record["cancelled"] is stream
    assert round(record["total_cost"] * 1e12) == entry["charged_pusd"]


@pytest.mark.parametrize(("charge", "expected"), [("nothing", 0), ("full", PROMPT_PUSD + 16 * TOKEN_PUSD)])
async def test_what_a_broken_stream_costs_can_be_set(
    simulator: Simulator, client: httpx.AsyncClient, charge: str, expected: int
) -> None:
    behaviour = {"stop_at": "after_chunks", "stop_after": 3, "charge_on_stop": charge}
    await exchange(simulator, request_bytes({**BODY, "stream": True}, behaviour))
    assert (await settled(client))["charged_pusd"] == expected


@pytest.mark.parametrize("stream", [False, True])
async def test_pieces_are_as_small_as_asked(simulator: Simulator, client: httpx.AsyncClient, stream: bool) -> None:
    got, _ = await exchange(
        simulator, request_bytes({**BODY, "stream": stream}, {"split_bytes": 1, "keep_alive": False})
    )
    payload = got.partition(b"\r\n\r\n")[2]
    while payload != b"0\r\n\r\n":
        assert payload[:3] == b"1\r\n"
        payload = payload[6:]
    assert client is not None


@pytest.mark.parametrize("stream", [False, True])
async def test_compression_is_real(simulator: Simulator, client: httpx.AsyncClient, stream: bool) -> None:
    for name, unpack in (("gzip", gzip.decompress), ("deflate", zlib.decompress)):
        behaviour = {"content_encoding": name, "framing": "close"}
        got, end = await exchange(simulator, request_bytes({**BODY, "stream": stream}, behaviour))
        head, _, payload = got.partition(b"\r\n\r\n")
        assert end == "fin"
        assert f"Content-Encoding: {name}".encode() in head
        assert b'"usage"' in unpack(payload)
    assert client is not None


async def test_raw_and_illegal_answers_go_out_as_they_are(simulator: Simulator, client: httpx.AsyncClient) -> None:
    raw = "HTTP/1.1 200 OK\r\nX-Odd: a\x00\xff\r\n\r\nbody"
    got, end = await exchange(simulator, request_bytes(BODY, {"raw_response": raw}))
    assert (got, end) == (raw.encode("latin-1"), "fin")
    got, _ = await exchange(simulator, request_bytes(BODY, {"headers": [["X-Odd", "a\x01b"]], "keep_alive": False}))
    assert b"X-Odd: a\x01b\r\n" in got
    shown = await books(client)
    assert [entry["status"] for entry in shown["errors"]] == [0]


async def test_what_is_no_http_gets_400(simulator: Simulator) -> None:
    for raw in (
        b"hello\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ):
        got, end = await exchange(simulator, raw)
        assert got.startswith(b"HTTP/1.1 400")
        assert end == "fin"


async def test_chunked_requests_and_expect_are_understood(simulator: Simulator) -> None:
    data = json.dumps(BODY).encode()
    head = (
        f"POST /api/v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
        "Connection: close\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
    ).encode()
    raw = head + b"5\r\n" + data[:5] + b"\r\n" + b"%x\r\n" % len(data[5:]) + data[5:] + b"\r\n0\r\n\r\n"
    got, end = await exchange(simulator, raw)
    assert got.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert end == "fin"


async def test_a_slow_reader_slows_the_writer(simulator: Simulator, client: httpx.AsyncClient) -> None:
    """20 MB do not pile up in memory: the books close only when the end was written."""
    behaviour = json.dumps({"completion_tokens": 20, "big_content_bytes": 20_000_000})
    url = "/api/v1/chat/completions"
    sent: dict[str, Any] = {"json": {**BODY, "stream": True}, "headers": {"X-Sim-Behaviour": behaviour}}
    async with client.stream("POST", url, **sent) as answer:
        await asyncio.sleep(0.1)
        assert (await books(client))["open"] == 1
        size = 0
        async for piece in answer.aiter_raw():
            size += len(piece)
    assert size > 20_000_000
    assert (await settled(client))["completion_tokens"] == 20
    assert simulator.books.total_pusd == PROMPT_PUSD + 20 * TOKEN_PUSD
