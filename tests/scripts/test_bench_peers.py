"""What is compared with other gateways: the same request to all, headers where one needs them, a table of medians."""

import json
import socket
import subprocess
import sys
import threading
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

BENCHMARK = Path(__file__).resolve().parents[2] / "scripts" / "benchmark"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the bench pins processes to cores")


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARK))
    return import_module("peers")


def test_the_table_has_a_cell_for_each_system(peers: Any) -> None:
    found = peers.PeerFigures()
    names = ("direct", "nginx", "tollkeeper", "litellm", "portkey")
    found.busy_us = {"nginx": [20.0], "tollkeeper": [200.0], "litellm": [6000.0, 7000.0, 8000.0], "portkey": [900.0]}
    found.at_rate[100].p50_us = {name: [100.0 * n] for n, name in enumerate(names, 1)}
    found.idle_mb = {"tollkeeper": [50.0], "litellm": [400.0], "portkey": [100.0]}
    rows = {row[0]: row[1:] for row in peers.rows(found)}  # where a name comes twice, that of 100/s
    assert {len(row) for row in rows.values()} == {len(peers.COLUMNS) - 1}
    assert rows["CPU a request, 16 connections, µs"] == ("-", "20", "200", "7000 [6000..8000]", "900")
    assert rows["added to the floor, p50 µs"] == ("-", "+100", "+200", "+300", "+400")
    assert peers.sentence(found) == (
        "litellm: 35.0 times the CPU, 8.0 times the memory; portkey: 4.5 times the CPU, 2.0 times the memory."
    )


def test_headers_that_one_system_needs_go_with_each_request(peers: Any) -> None:
    del peers
    heads: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                for _ in range(2):
                    data = b""
                    while b"max_tokens" not in data:
                        data += connection.recv(65536)
                    heads.append(data.partition(b"\r\n\r\n")[0])
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

        serving = threading.Thread(target=serve)
        serving.start()
        words = ["latency", str(port), "tk-x", "20", "0.1", "1", "m", "--header", "X-One: 1", "--header", "X-Two: a b"]
        ran = subprocess.run(
            [sys.executable, str(BENCHMARK / "load.py"), *words], capture_output=True, text=True, check=True
        )
        serving.join()
    assert json.loads(ran.stdout)["answered"] == 2
    assert all(b"\r\nX-One: 1" in head and b"\r\nX-Two: a b" in head for head in heads)


def test_what_cannot_be_installed_leaves_nothing_behind(
    peers: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    error = import_module("machine").BenchError

    def fail(command: list[str]) -> None:
        raise error(f"{command[0]} failed")

    monkeypatch.setattr(peers, "_run", fail)
    monkeypatch.setattr(peers.venv, "create", lambda home, **_: Path(home).mkdir())
    monkeypatch.setattr(peers.shutil, "which", lambda tool: tool)
    said: list[str] = []
    with pytest.raises(error):
        peers.set_up(said.append)
    assert not peers.litellm_home().exists()
    peers.litellm_home().mkdir()
    with pytest.raises(error):
        peers.set_up(said.append)
    assert not peers.portkey_home().exists()
    assert len(said) == 2
