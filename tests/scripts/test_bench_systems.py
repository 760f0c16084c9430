"""What the bench compares: the bare relay passes on what the upstream sends, and its route is one of two targets."""

import http.client
import json
import os
import re
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

BENCHMARK = Path(__file__).resolve().parents[2] / "scripts" / "benchmark"
EVENTS = 5
CHAT: dict[str, object] = {"messages": [{"role": "user", "content": "Hej"}]}
VARYING = re.compile(rb'gen-\d+-\d+|"sent_ns":"\d+"')  # ids and times, which differ from answer to answer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the bench pins processes to cores")


@pytest.fixture
def systems(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARK))
    return import_module("systems")


@pytest.fixture
def core() -> int:
    return min(os.sched_getaffinity(0))


@pytest.fixture
def upstream(systems: Any, core: int, tmp_path: Path) -> Iterator[Any]:
    with ExitStack() as stack:
        yield started(stack, systems.Upstream(tmp_path, core, events=EVENTS, interval_ms=2))


def started(stack: ExitStack, service: Any) -> Any:
    stack.callback(service.stop)
    service.start()
    return service


def ask(service: Any, chat: dict[str, object], token: str = "tk-x") -> tuple[http.client.HTTPResponse, bytes]:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with closing(http.client.HTTPConnection("127.0.0.1", service.port)) as connection:
        connection.request("POST", "/v1/chat/completions", json.dumps(chat), headers)
        answer = connection.getresponse()
        return answer, answer.read()


@pytest.mark.usefixtures("systems")  # puts the bench's folder on the path
def test_nothing_is_started_with_the_settings_of_whoever_runs_the_bench(
    core: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "OPENROUTER_API_KEY", "BENCH_OTHER"):
        monkeypatch.setenv(name, "1")
    script = "import json, os; print(json.dumps(dict(os.environ)))"
    seen = json.loads(import_module("machine").run_on_core(core, [sys.executable, "-c", script]))
    assert "BENCH_OTHER" in seen
    assert not seen.keys() & {"PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "OPENROUTER_API_KEY"}


@pytest.mark.usefixtures("systems")  # puts the bench's folder on the path
def test_a_load_that_fails_is_told(core: int) -> None:
    machine = import_module("machine")
    with pytest.raises(machine.BenchError, match=r"failed with 3:\nno such thing"):
        machine.run_on_core(core, [sys.executable, "-c", "import sys; print('no such thing'); sys.exit(3)"])


@pytest.mark.parametrize("stream", [False, True])
def test_the_bare_relay_passes_on_what_the_upstream_sends(
    systems: Any, core: int, upstream: Any, tmp_path: Path, stream: bool
) -> None:
    chat = {**CHAT, "model": "bench/json", "stream": stream}
    direct, expected = ask(upstream, chat)
    with ExitStack() as stack:
        relay = started(stack, systems.AiohttpRelay(tmp_path, core, upstream.port))
        passed, body = ask(relay, chat)
    assert passed.status == direct.status == 200
    assert passed.headers.get_content_type() == direct.headers.get_content_type()
    assert VARYING.sub(b"", body) == VARYING.sub(b"", expected)
    assert body.count(passed.headers["X-Generation-Id"].encode()) == (EVENTS + 1 if stream else 1)


def test_the_bare_relay_puts_in_the_key_and_keeps_the_status(systems: Any, core: int, tmp_path: Path) -> None:
    seen: list[tuple[str, str | None, bytes]] = []

    class Provider(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200, b'{"data":[]}')

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.path, self.headers["Authorization"], body))
            self._answer(429, b'{"error":{"message":"slow down"}}')

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Keep the test's output to itself."""

    provider = HTTPServer(("127.0.0.1", 0), Provider)
    serving = threading.Thread(target=provider.serve_forever)
    serving.start()
    try:
        with ExitStack() as stack:
            relay = started(stack, systems.AiohttpRelay(tmp_path, core, provider.server_port))
            answer, body = ask(relay, CHAT)
    finally:
        provider.shutdown()
        serving.join()
        provider.server_close()
    assert (answer.status, json.loads(body)) == (429, {"error": {"message": "slow down"}})
    assert seen == [("/api/v1/chat/completions", "Bearer sk-or-v1-bench", json.dumps(CHAT).encode())]


def test_a_route_of_two_goes_to_the_model_it_is_compared_with(
    systems: Any, core: int, upstream: Any, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        ours = started(stack, systems.Tollkeeper(tmp_path, core, upstream.port))
        pairs = {systems.JSON_ROUTE: systems.JSON_MODEL, systems.STREAM_ROUTE: systems.STREAM_MODEL}
        for route, model in pairs.items():
            for name in (route, model):
                answer, _body = ask(ours, {**CHAT, "model": name, "stream": name == systems.STREAM_ROUTE}, ours.token)
                assert answer.status == 200
    with closing(sqlite3.connect(ours.ledger)) as ledger:
        rows = ledger.execute(
            "SELECT requested_model, target_provider, target_model, attempts FROM requests"
        ).fetchall()
    assert rows == [(name, "openrouter", model, 1) for route, model in pairs.items() for name in (route, model)]
    config = ours.config.read_text()
    assert all(
        re.search(rf"^  {route}: \[openrouter/{model}, spare/", config, re.MULTILINE) for route, model in pairs.items()
    )
