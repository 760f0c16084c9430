"""admin.listen: the operator's API on an address of its own, where nothing else is answered."""

import socket
from pathlib import Path

import pytest

from proxy.config.load import load_file
from proxy.core.errors import ConfigError, PortError
from tests.support.installation import ADMIN_TOKEN, settings, write_config
from tests.support.raw import ask
from tests.support.stand import app_in_loop
from tests.support.stand import stand as run_stand

USERS = "/admin/v1/users"


async def test_each_port_answers_its_own(tmp_path: Path) -> None:
    async with run_stand(tmp_path, {"admin": {"listen": "127.0.0.1:0"}}) as stand:
        port = stand.app.admin_port
        assert port != stand.port
        assert (await ask(port, "GET", USERS, token=ADMIN_TOKEN)).status == 200
        assert (await ask(port, "GET", USERS, token=stand.token)).status == 403
        assert (await ask(port, "GET", "/healthz")).status == 200
        assert (await ask(port, "GET", "/metrics")).status == 200
        for path in ("/v1/models", "/", "/v1/chat/completions"):
            answer = await ask(port, "POST" if "chat" in path else "GET", path, token=stand.token)
            assert (answer.status, answer.json()["error"]["code"]) == (404, "unknown_url")
        for path in (USERS, "/admin/v1/openapi.json", "/admin/v1/users/list"):
            answer = await stand.ask("GET", path, token=ADMIN_TOKEN)
            assert (answer.status, answer.json()["error"]["code"]) == (404, "unknown_url")
        foreign = await ask(port, "GET", USERS, token=ADMIN_TOKEN, host="elsewhere.example")
        assert foreign.status == 421
        origin = await ask(port, "GET", USERS, token=ADMIN_TOKEN, headers=[("Origin", "https://elsewhere.example")])
        assert origin.status == 403
        assert (await stand.chat()).status == 200


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        path = write_config(tmp_path, settings("http://127.0.0.1:9", {"admin": {"listen": address}}))
        with pytest.raises(PortError, match=r"admin\.listen"):
            async with app_in_loop(path):
                pass


@pytest.mark.parametrize("address", ["8788", "127.0.0.1", "127.0.0.1:70000", "::1:8788", ":8788", "0.0.0.0:8788"])
def test_what_cannot_be_listened_on_is_refused(tmp_path: Path, address: str) -> None:
    path = write_config(tmp_path, settings("http://127.0.0.1:9", {"admin": {"listen": address}}))
    with pytest.raises(ConfigError, match="admin"):
        load_file(path, {})


def test_addresses_are_read(tmp_path: Path) -> None:
    for address in ("127.0.0.1:8788", "[::1]:8788", "localhost:1"):
        path = write_config(tmp_path, settings("http://127.0.0.1:9", {"admin": {"listen": address}}))
        assert load_file(path, {}).settings.admin.listen == address
