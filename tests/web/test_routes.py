"""/admin/v1 and the socket beside the ledger: users and tokens change, and what changed holds when the call returns."""

import os
import stat
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from proxy.core.uid import user_name
from proxy.web.server.sockets import socket_path
from tests.support.installation import ADMIN_TOKEN, token_of
from tests.support.raw import Answer, ask, connect_unix, request_bytes
from tests.support.stand import Stand
from tests.support.stand import stand as run_stand


async def change(stand: Stand, name: str, /, **fields: Any) -> Any:
    """Run an operation as the operator and give its data."""
    got = await stand.ask("POST", f"/admin/v1/{name}", fields, token=ADMIN_TOKEN)
    assert got.status == 200, got.body
    assert set(got.json()) == {"data"}
    return got.json()["data"]


async def refusal(stand: Stand, name: str, /, status: int = 400, code: str = "invalid_change", **fields: Any) -> str:
    got = await stand.ask("POST", f"/admin/v1/{name}", fields, token=ADMIN_TOKEN)
    assert (got.status, got.json()["error"]["code"]) == (status, code), got.body
    text: str = got.json()["error"]["message"]
    return text


async def status_with(stand: Stand, token: str) -> int:
    return (await stand.ask("GET", "/v1/models", token=token)).status


async def over_socket(stand: Stand, method: str, path: str, fields: Any = None) -> Answer:
    async with await connect_unix(str(stand.folder / "ledger.db.sock")) as client:
        await client.send(request_bytes(method, path, fields))
        return await client.read_answer()


@pytest.mark.parametrize(
    ("token", "status", "code"),
    [
        (None, 401, "invalid_api_key"),
        ("wrong", 401, "invalid_api_key"),
        (ADMIN_TOKEN + "x", 401, "invalid_api_key"),
        (ADMIN_TOKEN[:-1], 401, "invalid_api_key"),
        (token_of("anna"), 403, "operator_only"),
        ("\udcff", 401, "invalid_api_key"),
    ],
)
@pytest.mark.parametrize("path", ["users/list", "reload", "nothing", ""])
async def test_only_the_operator(stand: Stand, token: str | None, status: int, code: str, path: str) -> None:
    got = await stand.ask("POST", f"/admin/v1/{path}", {}, token=token)
    assert (got.status, got.json()["error"]["code"]) == (status, code)
    assert got.json()["request_id"] == got.header("x-request-id")


async def test_closed_without_a_token(tmp_path: Path) -> None:
    async with run_stand(tmp_path, {"admin_token": None}) as stand:
        for token in (None, "", ADMIN_TOKEN, stand.token):
            got = await stand.ask("POST", "/admin/v1/users/list", {}, token=token)
            assert (got.status, got.json()["error"]["code"]) == (403, "admin_closed")
        assert (await over_socket(stand, "POST", "/admin/v1/users/list", {})).status == 200


async def test_wrong_requests(stand: Stand) -> None:
    got = await stand.ask("GET", "/admin/v1/tokens/tok_1/rotate", token=ADMIN_TOKEN)
    assert (got.status, got.header("Allow")) == (405, "POST")
    assert "/admin/v1/users/list" in await refusal(stand, "nothing/fly", 404, "unknown_url")
    for body, status in ((b"{", 400), (b"[]", 400), (b"", 400), (b'{"name": "' + b"x" * (1 << 20) + b'"}', 413)):
        got = await stand.ask("POST", "/admin/v1/users/add", body, token=ADMIN_TOKEN)
        assert got.status == status
    got = await stand.ask(
        "POST", "/admin/v1/users/add", b"name=x", token=ADMIN_TOKEN, headers=[("Content-Type", "text/plain")]
    )
    assert got.status == 415


async def test_a_token_works_when_the_call_returns(stand: Stand) -> None:
    await change(stand, "users/add", name="bo", group="staff")
    made = await change(stand, "tokens/add", user="bo", name="laptop")
    assert made["token"].startswith("tk-")
    assert await status_with(stand, made["token"]) == 200
    got = await stand.chat(token=made["token"])
    assert got.status == 200
    (row,) = await stand.settled()
    assert (row["user"], row["group_name"], row["token_id"]) == ("bo", "staff", made["id"])
    listed = await change(stand, "tokens/list", user="bo")
    assert [token["id"] for token in listed] == [made["id"]]
    assert made["token"] not in str(listed)
    assert [user["name"] for user in await change(stand, "users/list")] == ["bo"]
    assert (await change(stand, "users/show", name="bo"))["group"] == "staff"


async def test_a_token_stops_when_the_call_returns(stand: Stand) -> None:
    await change(stand, "users/add", name="bo")
    made = await change(stand, "tokens/add", user="bo")
    token, id_ = made["token"], made["id"]
    await change(stand, "tokens/set", id=id_, changes={"disabled": True})
    assert await status_with(stand, token) == 403
    await change(stand, "tokens/set", id=id_, changes={"disabled": False})
    assert await status_with(stand, token) == 200
    await change(stand, "tokens/set", id=id_, changes={"expires_ms": int(time.time() * 1000) - 1})
    assert await status_with(stand, token) == 401
    await change(stand, "tokens/set", id=id_, changes={"expires_ms": None})
    assert await status_with(stand, token) == 200
    await change(stand, "users/set", name="bo", changes={"disabled": True})
    assert await status_with(stand, token) == 403
    await change(stand, "users/set", name="bo", changes={"disabled": False})
    await change(stand, "tokens/remove", id=id_)
    assert await status_with(stand, token) == 401


async def test_rotation(stand: Stand) -> None:
    """The old token ends at once, or works on for the overlap that was asked for."""
    await change(stand, "users/add", name="bo")
    first = await change(stand, "tokens/add", user="bo")
    second = await change(stand, "tokens/rotate", id=first["id"])
    assert await status_with(stand, first["token"]) in (401, 403)
    assert await status_with(stand, second["token"]) == 200
    third = await change(stand, "tokens/rotate", id=second["id"], overlap_ms=3_600_000)
    assert await status_with(stand, second["token"]) == 200
    assert await status_with(stand, third["token"]) == 200


async def test_removing_a_user_ends_all_tokens(stand: Stand) -> None:
    await change(stand, "users/add", name="bo")
    tokens = [(await change(stand, "tokens/add", user="bo"))["token"] for _ in range(2)]
    await change(stand, "users/remove", name="bo")
    assert [await status_with(stand, token) for token in tokens] == [401, 401]
    assert await status_with(stand, stand.token) == 200


async def test_mistakes_change_nothing(stand: Stand) -> None:
    await change(stand, "users/add", name="bo")
    before = await change(stand, "users/list"), await change(stand, "tokens/list")
    assert "bo" in await refusal(stand, "users/add", name="bo")
    await refusal(stand, "users/add")
    await refusal(stand, "users/add", name=5)
    await refusal(stand, "users/add", name="no spaces")
    await refusal(stand, "users/add", name="x" * 65)
    await refusal(stand, "users/set", name="bo", changes={"disabled": "yes"})
    await refusal(stand, "users/set", name="bo", changes={})
    await refusal(stand, "tokens/add", user="bo", expires_ms="tomorrow")
    await refusal(stand, "tokens/add", 404, "not_found", user="nobody")
    await refusal(stand, "tokens/set", 404, "not_found", id="none", changes={"disabled": True})
    await refusal(stand, "users/remove", 404, "not_found", name="nobody")
    assert (await change(stand, "users/list"), await change(stand, "tokens/list")) == before


async def test_changes_are_on_record(stand: Stand) -> None:
    """Under the name of who was authenticated, whatever the body says."""
    await change(stand, "users/add", name="bo", actor="carl")
    made = await change(stand, "tokens/add", user="bo")
    path = socket_path(stand.database)
    assert path is not None
    async with await connect_unix(str(path)) as client:
        await client.send(request_bytes("POST", "/admin/v1/users/add", {"name": "cy", "actor": "carl"}))
        assert (await client.read_answer()).status == 200
    rows = await stand.rows("SELECT actor, source, action, subject, before, after FROM audit WHERE id > 1 ORDER BY id")
    assert [row["actor"] for row in rows] == ["admin_token", "admin_token", user_name(os.getuid())]
    assert [row["source"] for row in rows] == ["tcp 127.0.0.1", "tcp 127.0.0.1", "socket"]
    assert made["token"] not in str(rows)


async def test_users_of_the_database_stay(tmp_path: Path) -> None:
    async with run_stand(tmp_path) as stand:
        await change(stand, "users/add", name="bo")
        token = (await change(stand, "tokens/add", user="bo"))["token"]
    async with run_stand(tmp_path) as stand:
        assert await status_with(stand, token) == 200


# --- the socket


async def test_the_socket_is_for_its_owner_only(stand: Stand) -> None:
    path = stand.folder / "ledger.db.sock"
    mode = path.stat()
    assert stat.S_ISSOCK(mode.st_mode)
    assert stat.S_IMODE(mode.st_mode) == 0o600


async def test_the_socket_needs_no_token(stand: Stand) -> None:
    got = await over_socket(stand, "POST", "/admin/v1/users/add", {"name": "bo"})
    assert got.json()["data"]["name"] == "bo"
    made = (await over_socket(stand, "POST", "/admin/v1/tokens/add", {"user": "bo"})).json()["data"]
    assert await status_with(stand, made["token"]) == 200
    assert (await over_socket(stand, "GET", "/healthz")).json() == {"status": "ok"}
    assert (await over_socket(stand, "GET", "/readyz")).status == 200


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/chat/completions", "/"])
async def test_the_socket_spends_nothing(stand: Stand, path: str) -> None:
    got = await over_socket(stand, "POST", path, {"model": "x", "messages": []})
    assert (got.status, got.json()["error"]["code"]) == (404, "unknown_url")


async def test_the_socket_goes_with_the_proxy(tmp_path: Path) -> None:
    async with run_stand(tmp_path) as stand:
        assert (stand.folder / "ledger.db.sock").exists()
    assert not (tmp_path / "ledger.db.sock").exists()


@pytest.mark.parametrize("temporary", ["short", "long-" * 30])
async def test_a_long_path_has_its_socket_elsewhere(
    tmp_path: Path, temporary: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket's path holds about a hundred bytes; the command line finds it by the same rule."""
    from proxy.web.server.sockets import socket_path

    folder = tmp_path / ("long-" * 30)
    folder.mkdir()
    if temporary != "short":
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / temporary))
    async with run_stand(folder) as stand:
        path = socket_path(stand.database)
        assert path is not None
        assert len(str(path)) < 108
        async with await connect_unix(str(path)) as client:
            await client.send(request_bytes("GET", "/healthz"))
            assert (await client.read_answer()).status == 200
    assert not path.exists()


# --- reload


async def test_reload_answers_with_the_mistake(stand: Stand) -> None:
    path = stand.folder / "config.yaml"
    good = path.read_text()
    path.write_text(good + "nonsense: 1\n")
    assert "nonsense" in await refusal(stand, "reload", 422, "invalid_config")
    path.write_text(good)
    assert await change(stand, "reload") == {"reloaded": True}


async def test_reload_without_a_body(stand: Stand) -> None:
    got = await ask(stand.port, "POST", "/admin/v1/reload", token=ADMIN_TOKEN)
    assert got.json() == {"data": {"reloaded": True}}
