"""The bench's own provider: what it sends must look like the real one, or the figures mean nothing."""

import asyncio
import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCHMARK = ROOT / "scripts" / "benchmark"
EVENTS = 5

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uvloop does not run there")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = int(probe.getsockname()[1])
    upstream = subprocess.Popen([sys.executable, str(BENCHMARK / "upstream.py"), str(free), str(EVENTS), "2"])
    try:
        asyncio.run(_until_it_listens(free, upstream))
        yield free
    finally:
        upstream.terminate()
        upstream.wait()


async def _until_it_listens(port: int, upstream: subprocess.Popen[bytes]) -> None:
    while True:
        assert upstream.poll() is None, "the upstream ended at once"
        try:
            _reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.01)
            continue
        writer.close()
        await writer.wait_closed()
        return


def ask(port: int, method: str, path: str, body: object = None) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def test_json_answers_have_usage_and_ids_of_their_own(port: int) -> None:
    ids = set()
    for _ in range(3):
        answer, body = ask(port, "POST", "/api/v1/chat/completions", {"model": "bench/json", "messages": []})
        chat = json.loads(body)
        assert answer.headers["X-Generation-Id"] == chat["id"]
        assert chat["usage"]["cost"] == 0.000168
        assert 900 < len(body) < 1200
        ids.add(chat["id"])
    assert len(ids) == 3


def test_a_stream_has_its_events_then_usage_then_done(port: int) -> None:
    answer, body = ask(port, "POST", "/v1/chat/completions", {"model": "bench/stream", "stream": True})
    *events, last, done = [line.removeprefix(b"data: ") for line in body.splitlines() if line.startswith(b"data: ")]
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert done == b"[DONE]"
    assert len(events) == EVENTS
    assert {json.loads(event)["id"] for event in events} == {answer.headers["X-Generation-Id"]}
    assert json.loads(last)["usage"]["cost"] == 0.000168
    assert all(200 < len(event) < 300 for event in events)


def test_a_stream_has_as_many_events_as_its_model_says(port: int) -> None:
    _answer, body = ask(port, "POST", "/v1/chat/completions", {"model": "bench/stream-20x20", "stream": True})
    assert body.count(b'"sent_ns"') == 20
    assert body.count(b'"model":"bench/stream-20x20"') == 21  # its end too
    assert body.endswith(b"data: [DONE]\n\n")


def test_requests_split_anywhere_and_sent_together_are_all_answered(port: int) -> None:
    one = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\ncontent-length: 2\r\n\r\n{}"
    with socket.create_connection(("127.0.0.1", port)) as client:
        for cut in range(0, len(one), 7):
            client.sendall(one[cut : cut + 7])
        client.sendall(one + one)
        got = b""
        while got.count(b'"object":"chat.completion"') < 3:
            got += client.recv(65536)
    assert got.count(b"HTTP/1.1 200 OK") == 3


def test_models_and_generations_can_be_looked_up(port: int) -> None:
    _answer, models = ask(port, "GET", "/api/v1/models")
    names = {model["id"] for model in json.loads(models)["data"]}
    assert {"bench/json", "bench/stream", "bench/stream-2000x20x16"} <= names
    _answer, generation = ask(port, "GET", "/api/v1/generation?id=gen-1")
    assert json.loads(generation)["data"]["id"] == "gen-1"
    missing, _body = ask(port, "GET", "/elsewhere")
    assert missing.status == 404


def test_a_model_names_its_own_pace(port: int) -> None:
    """Six events, three at a time, so far apart that each time is a read of its own."""
    body = json.dumps({"model": "bench/stream-6x3x60", "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    reads: list[int] = []
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(head + body)
        while b"[DONE]" not in (read := client.recv(65536)):
            reads.append(read.count(b'"sent_ns"'))
    assert [count for count in reads if count] == [3, 3]


def test_lanes_are_asked_equally_often(port: int) -> None:
    ports = [f"{name}={port}" for name in ("one", "two")]
    command = [sys.executable, str(BENCHMARK / "load.py"), "lanes", "tk-x", "50", "0.1", "1", "bench/json", *ports]
    outcome = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert (outcome["answered"], outcome["failed"]) == (10, 0)
    assert {name: len(delays) for name, delays in outcome["delays_us"].items()} == {"one": 5, "two": 5}


def test_the_count_is_of_answers(port: int) -> None:
    before = json.loads(ask(port, "GET", "/_bench/count")[1])["answers"]
    ask(port, "POST", "/v1/chat/completions", {})
    ask(port, "GET", "/v1/models")
    assert json.loads(ask(port, "GET", "/_bench/count")[1])["answers"] == before + 1


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("streams", ("3", "5", "2", "one")),
        ("latency", ("100", "0.1", "2", "one")),
        ("latency", ("100", "0.1", "2", "one", "two")),
    ],
)
def test_the_load_client_counts_what_it_gets(port: int, kind: str, arguments: tuple[str, ...]) -> None:
    command = [sys.executable, str(BENCHMARK / "load.py"), kind, str(port), "tk-x", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    outcome = json.loads(ran.stdout)
    assert outcome["failed"] == 0
    if kind == "streams":
        assert (outcome["answered"], outcome["events"]) == (3, 3 * EVENTS)
        assert len(outcome["delays_us"]["one"]) == 3 * EVENTS
    else:
        models = arguments[3:]
        assert outcome["answered"] == 10
        assert {model: len(delays) for model, delays in outcome["delays_us"].items()} == dict.fromkeys(
            models, 10 // len(models)
        )
    assert all(delays == sorted(delays) for delays in outcome["delays_us"].values())
