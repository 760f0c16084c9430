"""The frame of the operator's API: matching, checks, pages, tags of states; users and tokens are the example."""

import asyncio
from pathlib import Path
from typing import Any

import click
import pytest

from proxy.cli.admin_client import admin_client
from proxy.config.load import load_file
from proxy.storage.ledger import LedgerUnavailableError
from tests.support.installation import ADMIN_TOKEN, settings, write_config
from tests.support.raw import Answer, connect, request_bytes
from tests.support.stand import Stand, sqlite_ledger

USERS = "/admin/v1/users"
GROUPS = "/admin/v1/groups"  # whose answers hold no secret


async def ask(stand: Stand, method: str, path: str, body: Any = None, **more: Any) -> Answer:
    return await stand.ask(method, path, body, token=ADMIN_TOKEN, **more)


async def test_a_user_is_made_read_changed_and_removed(stand: Stand) -> None:
    made = await ask(stand, "POST", USERS, {"name": "a b".replace(" ", "+"), "settings": {"max_tokens": 7}})
    assert (made.status, made.header("Location")) == (201, f"{USERS}/a%2Bb")
    shown = await ask(stand, "GET", f"{USERS}/a%2Bb")
    assert shown.json()["data"] == made.json()["data"]
    changed = await ask(stand, "PATCH", f"{USERS}/a+b", {"disabled": True})
    assert changed.json()["data"] == {**made.json()["data"], "disabled": True}
    token = await ask(stand, "POST", "/admin/v1/tokens", {"user": "a+b", "expires_at": "2999-01-31T08:00:00Z"})
    assert token.status == 201
    assert token.json()["data"]["expires_at"] == "2999-01-31T08:00:00.000Z"
    listed = await ask(stand, "GET", "/admin/v1/tokens?user=a%2Bb")
    assert [{**each, "token": token.json()["data"]["token"]} for each in listed.json()["data"]] == [
        token.json()["data"]
    ]
    assert (await ask(stand, "DELETE", f"{USERS}/a%2Bb")).status == 200
    assert (await ask(stand, "GET", f"{USERS}/a%2Bb")).json()["error"]["code"] == "not_found"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "param"),
    [
        ("POST", "", {"name": 5}, 422, "invalid_field", "name"),
        ("POST", "", {}, 422, "invalid_field", "name"),
        ("POST", "", {"name": "x", "nmae": "y"}, 422, "invalid_field", "nmae"),
        ("POST", "", {"name": "x", "settings": []}, 422, "invalid_field", "settings"),
        ("POST", "", b"[]", 400, "invalid_json", None),
        (
            "POST",
            "",
            {"name": "x", "settings": {"limits": {"cost": "x"}}},
            400,
            "invalid_change",
            "settings.limits.cost[0]",
        ),
        ("POST", "", {"name": "x", "settings": {"colour": 1}}, 400, "invalid_change", "settings.colour"),
        ("GET", "?limit=0", None, 400, "invalid_query", "limit"),
        ("GET", "?limit=1&limit=2", None, 400, "invalid_query", "limit"),
        ("GET", "?cursor=%F0", None, 400, "invalid_query", None),
        ("GET", "?cursor=bm8", None, 400, "invalid_query", "cursor"),
        ("GET", "?cursor=WzVd", None, 400, "invalid_query", "cursor"),  # [5]
        ("GET", "?colour=red", None, 400, "invalid_query", "colour"),
        ("GET", "/%ff", None, 400, "invalid_target", None),
        ("GET", "/nobody", None, 404, "not_found", None),
        ("PUT", "/nobody", {}, 405, "method_not_allowed", None),
        ("GET", "/a/b/c", None, 404, "unknown_url", None),
    ],
)
async def test_what_is_wrong_is_named(
    stand: Stand, method: str, path: str, body: Any, status: int, code: str, param: str | None
) -> None:
    answer = await ask(stand, method, USERS + path, body)
    error = answer.json()["error"]
    assert (answer.status, error["code"], error["param"]) == (status, code, param)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (
            "requests?status=999",
            "status has not the form that it needs. Such as 429, a class such as 4xx, ok, or error.",
        ),
        ("requests?state=x", "state has not the form that it needs. open, pending, settled, released or refused."),
    ],
)
async def test_a_form_is_told_in_words(stand: Stand, path: str, text: str) -> None:
    assert (await ask(stand, "GET", f"/admin/v1/{path}")).json()["error"]["message"] == text


async def test_a_path_that_is_not_there_is_quoted_as_it_came(stand: Stand) -> None:
    answer = await ask(stand, "GET", "/admin/v1/models/openai/gpt-4.1?limit=1")
    assert answer.json()["error"]["message"].startswith("There is no /admin/v1/models/openai/gpt-4.1. ")


async def test_pages_hold_each_entry_once(stand: Stand) -> None:
    names = [f"page{n}" for n in range(5)]
    for name in names:
        await ask(stand, "POST", USERS, {"name": name})
    found, cursor = [], ""
    while cursor is not None:
        page = (await ask(stand, "GET", f"{USERS}?limit=2{cursor and '&cursor='}{cursor}")).json()
        assert 0 < len(page["data"]) <= 2
        found += [user["name"] for user in page["data"]]
        cursor = page["next_cursor"]
    assert found == sorted(set(found))
    assert set(names) < set(found)
    for name in names:
        await ask(stand, "DELETE", f"{USERS}/{name}")


async def test_a_state_that_was_not_seen_is_not_changed(stand: Stand) -> None:
    path = f"{USERS}/tagged"
    await ask(stand, "POST", USERS, {"name": "tagged"})
    tag = (await ask(stand, "GET", path)).header("ETag")
    assert (await ask(stand, "GET", path, headers=[("If-None-Match", tag)])).status == 304
    answers = await asyncio.gather(
        *(ask(stand, "PATCH", path, {"settings": {"max_tokens": n}}, headers=[("If-Match", tag)]) for n in range(1, 6))
    )
    assert sorted(answer.status for answer in answers) == [200, 412, 412, 412, 412]
    stale = await ask(stand, "DELETE", path, headers=[("If-Match", tag)])
    assert stale.json()["error"]["code"] == "etag_mismatch"
    assert (await ask(stand, "DELETE", path, headers=[("If-Match", "*")])).status == 200


async def test_a_post_with_a_key_is_done_once(stand: Stand) -> None:
    key = [("Idempotency-Key", "first")]
    body = {"name": "once"}
    many = await asyncio.gather(*(ask(stand, "POST", GROUPS, body, headers=key) for _ in range(5)))
    again = await ask(stand, "POST", GROUPS, body, headers=key)
    assert {answer.status for answer in many} <= {201, 409}
    assert {answer.json()["error"]["code"] for answer in many if answer.status == 409} <= {"idempotency_in_flight"}
    (first, *_) = [answer for answer in many if answer.status == 201]
    assert (again.status, again.header("Idempotent-Replayed")) == (201, "true")
    assert (again.json()["data"], again.header("Location")) == (first.json()["data"], first.header("Location"))
    other = await ask(stand, "POST", GROUPS, {"name": "other"}, headers=key)
    assert (other.status, other.json()["error"]["code"]) == (422, "idempotency_key_reused")
    elsewhere = await ask(stand, "POST", "/admin/v1/tokens", {"user": "once"}, headers=key)
    assert (elsewhere.status, elsewhere.json()["error"]["code"]) == (422, "idempotency_key_reused")
    assert (await ask(stand, "POST", GROUPS, {"name": "b c"}, headers=[("Idempotency-Key", "bad")])).status == 400
    assert (await ask(stand, "POST", GROUPS, {"name": "bc"}, headers=[("Idempotency-Key", "bad")])).status == 201
    assert (await ask(stand, "POST", GROUPS, {"name": "x"}, headers=[("Idempotency-Key", "a b")])).status == 400


async def test_a_secret_is_not_kept_for_a_repeat(stand: Stand) -> None:
    body, key = {"name": "shy"}, [("Idempotency-Key", "secret")]
    made = await ask(stand, "POST", "/admin/v1/operators", body, headers=key)
    again = await ask(stand, "POST", "/admin/v1/operators", body, headers=key)
    assert (again.status, again.json()["error"]["code"]) == (409, "idempotency_finished")
    kept = await stand.rows("SELECT * FROM admin_posts")
    assert len(kept) == 1
    assert made.json()["data"]["token"] not in str(kept)
    await sqlite_ledger(stand.app).change(lambda connection: connection.execute("UPDATE admin_posts SET at_ms = 1"))
    assert (await ask(stand, "POST", "/admin/v1/operators", {"name": "new"}, headers=key)).status == 201  # a day later


async def test_a_key_is_on_disk_with_its_change(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a crash between the change and the answer: what was done is known, and is not done again."""

    async def refuse(*_: object) -> None:
        raise LedgerUnavailableError("the disk is full")

    key = [("Idempotency-Key", "cut-off")]
    assert (await ask(stand, "POST", USERS, {"name": "cut"})).status == 201
    with monkeypatch.context() as patched:
        patched.setattr(stand.app.ledger, "keep_answer", refuse)
        assert (await ask(stand, "POST", "/admin/v1/tokens", {"user": "cut"}, headers=key)).status == 201
    again = await ask(stand, "POST", "/admin/v1/tokens", {"user": "cut"}, headers=key)
    assert (again.status, again.json()["error"]["code"]) == (409, "idempotency_finished")
    assert len((await ask(stand, "GET", "/admin/v1/tokens?user=cut")).json()["data"]) == 1


async def test_all_that_is_wrong_is_told_at_once(stand: Stand) -> None:
    body = {"name": 5, "role": "chief", "colour": "red"}
    error = (await ask(stand, "POST", "/admin/v1/operators", body)).json()["error"]
    assert error["param"] == "name"
    assert all(name in error["message"] for name in body)


def test_a_command_asks_the_same_api_without_a_proxy(tmp_path: Path) -> None:
    path = write_config(tmp_path, settings("http://127.0.0.1:9"))
    with admin_client(load_file(path, {}).settings, "tollkeeper users add") as api:
        api.post("/users", {"name": "bo", "group": None})
        assert [user["name"] for user in api.pages("/users", {"limit": 1})] == ["anna", "bo"]
        assert api.get("/users", {"group": "none"}) == []
        with pytest.raises(click.ClickException, match="There is no user 'nobody'"):
            api.delete("/users/nobody")
        assert api.delete("/users/bo")["name"] == "bo"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("Content-Type", "application/json; charset=utf-16")], 415),
        ([("Content-Type", "application/json"), ("Content-Encoding", "gzip")], 415),
        ([("Content-Type", "application/json; charset=UTF-8"), ("Content-Encoding", "identity")], 400),
    ],
)
async def test_a_body_in_another_form_is_refused_by_its_headers(
    stand: Stand, headers: list[tuple[str, str]], status: int
) -> None:
    async with await connect(stand.port) as client:
        await client.send(request_bytes("POST", USERS, b"\x1f\x8b no JSON", token=ADMIN_TOKEN, headers=headers))
        assert (await client.read_answer()).status == status


async def test_a_body_that_says_it_is_too_large_is_not_waited_for(stand: Stand) -> None:
    head = f"POST {USERS} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n"
    async with await connect(stand.port) as client:
        await client.send(f"{head}Content-Type: application/json\r\nContent-Length: 999999999\r\n\r\n".encode())
        assert (await client.read_answer()).status == 413
