"""A command for which the proxy asks a provider waits as long as that takes; any other says that nothing answers."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from proxy.cli import admin_client, tollkeeper
from proxy.web.server.sockets import socket_path
from tests.support.installation import settings as configuration

_ANSWER_S = 0.2
_REFUSAL = json.dumps({"error": {"message": "The provider is asked later.", "code": "later"}}).encode()
_HEAD = b"HTTP/1.1 409 Conflict\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"


def _answer_late(connection: socket.socket) -> None:
    with connection, suppress(BrokenPipeError):  # who asked is gone where it waits no longer
        if connection.recv(65536):  # a probe sends nothing
            time.sleep(3 * _ANSWER_S)
            connection.sendall(_HEAD % len(_REFUSAL) + _REFUSAL)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the configuration of a proxy that takes longer than an answer may."""
    monkeypatch.setattr(admin_client, "ANSWER_S", _ANSWER_S)
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(configuration("http://127.0.0.1:9")))
    config.chmod(0o600)
    path = socket_path(tmp_path / "ledger.db")
    assert path is not None
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(path))
        door.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = door.accept()
                except OSError:
                    return
                threading.Thread(target=_answer_late, args=(connection,), daemon=True).start()

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        yield config
        door.shutdown(socket.SHUT_RDWR)
        serving.join()


@pytest.mark.parametrize(
    "command",
    [
        "sync",
        "reconcile",
        "account",
        "doctor",
        "adjustments look-up",
        "keys add openrouter --key-file -",
        "keys test openrouter",
        "keys rotate openrouter --key-file -",
        "alerts test log",
    ],
)
def test_what_asks_a_provider_waits(config: Path, command: str) -> None:
    found = CliRunner().invoke(tollkeeper, [*command.split(), "-c", str(config)], input="sk-or-v1-" + "0" * 64)
    assert "The provider is asked later." in found.output
    assert "broke" not in found.output


def test_what_asks_nobody_says_that_nothing_answers(config: Path) -> None:
    found = CliRunner().invoke(tollkeeper, ["keys", "list", "-c", str(config)])
    assert "The connection to the running proxy broke (TimeoutError)." in found.output
